/* Calls that inpod had received when it was killed (../kept.h). */
#define _GNU_SOURCE
#include "held.h"
#include "kept.h"
#include "listener.h"
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

/* Within it the handler of a signal returns, and the kernel makes the interrupted call again. */
enum { RESTART_SECONDS = 5 };

static struct kept *kept;
static time_t restarts_until;

static time_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec;
}

void held_open(int memory) {
  void *mapped = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  if (mapped != MAP_FAILED) kept = mapped;
}

static struct seccomp_notif_resp native(uint64_t id) {
  return (struct seccomp_notif_resp){.id = id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
}

static struct seccomp_notif_resp decided(uint64_t id, const struct kept_call *call) {
  return (struct seccomp_notif_resp){
      .id = id, .val = call->error ? 0 : call->value, .error = -call->error};
}

/* True: the call was waiting. Others were answered or interrupted before inpod's end. */
static int answer(int listener, struct seccomp_notif_resp response) {
  return listener_ask(listener, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0;
}

void held_answer_all(int listener, void (*seen)(int tid)) {
  if (!kept) return;
  /* The calls first: a hand may still show one of them, and does not know whether something was done. */
  for (int i = 0; i < KEPT_CALLS; i++) {
    struct kept_call *call = &kept->calls[i];
    if (call->id == 0 || call->state == KEPT_UNHEARD) continue;
    /* What is another listener's stays as it is: a session may have several, each with a keeper, and this memory is theirs too. */
    if (answer(listener, call->state == KEPT_ACTED ? decided(call->id, call) : native(call->id))) seen(call->tid);
  }
  for (int i = 0; i < KEPT_HANDS; i++) {
    const struct seccomp_notif *notif = &kept->hands[i].notif;
    if (notif->id != 0 && answer(listener, held_answer(notif))) seen((int)notif->pid);
  }
  restarts_until = now() + RESTART_SECONDS;
}

struct seccomp_notif_resp held_answer(const struct seccomp_notif *notif) {
  if (!kept || (restarts_until && now() > restarts_until)) return native(notif->id);
  for (int i = 0; i < KEPT_CALLS; i++) {
    struct kept_call *call = &kept->calls[i];
    if (call->id == 0 || call->state != KEPT_UNHEARD || call->tid != (int)notif->pid || call->nr != notif->data.nr)
      continue;
    if (memcmp(call->args, notif->data.args, sizeof call->args) != 0) continue;
    call->id = 0; /* once */
    return decided(notif->id, call);
  }
  return native(notif->id);
}
