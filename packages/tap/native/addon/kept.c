#include "tap.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct kept *kept;
static int kept_fd = -1;
static bool hand_taken[KEPT_HANDS];
static pthread_mutex_t hands_mutex = PTHREAD_MUTEX_INITIALIZER;

int kept_start(void) {
  kept_fd = memfd_create("inpod-held-calls", MFD_CLOEXEC);
  if (kept_fd >= 0 && ftruncate(kept_fd, sizeof *kept) == 0) {
    void *memory = mmap(NULL, sizeof *kept, PROT_READ | PROT_WRITE, MAP_SHARED, kept_fd, 0);
    if (memory != MAP_FAILED) {
      kept = memory;
      return 0;
    }
  }
  int error = errno;
  if (kept_fd >= 0) close(kept_fd);
  kept_fd = -1;
  kept = calloc(1, sizeof *kept); /* ours alone: the keeper cannot help then */
  if (!kept) abort();
  return -error;
}

int kept_descriptor(void) { return kept_fd; }

struct seccomp_notif *kept_hand(void) {
  struct seccomp_notif *hand = NULL;
  pthread_mutex_lock(&hands_mutex);
  for (int i = 0; i < KEPT_HANDS && !hand; i++)
    if (!hand_taken[i]) {
      hand_taken[i] = true;
      hand = &kept->hands[i].notif;
    }
  pthread_mutex_unlock(&hands_mutex);
  return hand ? hand : calloc(1, sizeof(union kept_hand));
}

void kept_hand_empty(struct seccomp_notif *hand) { memset(hand, 0, sizeof(union kept_hand)); }

void kept_hand_back(struct seccomp_notif *hand) {
  uintptr_t offset = (uintptr_t)hand - (uintptr_t)kept->hands;
  if (offset >= sizeof kept->hands) {
    free(hand);
    return;
  }
  kept_hand_empty(hand);
  pthread_mutex_lock(&hands_mutex);
  hand_taken[offset / sizeof *kept->hands] = false;
  pthread_mutex_unlock(&hands_mutex);
}

static void set_id(struct kept_call *call, uint64_t id) { __atomic_store_n(&call->id, id, __ATOMIC_SEQ_CST); }
static void set_state(struct kept_call *call, enum kept_state state) {
  __atomic_store_n(&call->state, state, __ATOMIC_SEQ_CST);
}

void kept_hold(const struct op *op) {
  struct kept_call *call = &kept->calls[op->slot];
  call->tid = op->tid;
  call->nr = op->nr;
  memcpy(call->args, op->args, sizeof call->args);
  set_state(call, KEPT_UNTOUCHED);
  set_id(call, op->id);
}

void kept_rename(const struct op *op) { set_id(&kept->calls[op->slot], op->id); }
void kept_release(const struct op *op) { set_id(&kept->calls[op->slot], 0); }

static void answer_with(const struct op *op, int64_t value, int error, enum kept_state state) {
  struct kept_call *call = &kept->calls[op->slot];
  __atomic_store_n(&call->value, value, __ATOMIC_SEQ_CST);
  __atomic_store_n(&call->error, error, __ATOMIC_SEQ_CST);
  set_state(call, state);
}

void kept_acting(const struct op *op, int64_t value, int error) { answer_with(op, value, error, KEPT_ACTED); }
void kept_undone(const struct op *op) { set_state(&kept->calls[op->slot], KEPT_UNTOUCHED); }
void kept_unheard(const struct op *op) { answer_with(op, op->value, op->error, KEPT_UNHEARD); }
