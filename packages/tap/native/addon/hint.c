/*
 * The server is told a whole path before the kernel asks it for each component: one round trip to the pod in place of
 * one for each. Message: u32 id, path. Answer: u32 id, when the server knows the path, or gave up.
 */
#include "paths.h"
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

enum { WAIT_MS = 2000, WAITERS = 512 };

struct waiter {
  uint32_t id; /* 0: free */
  bool is_answered;
};
static struct waiter waiters[WAITERS];
static int hint_fd = -1;
static uint32_t last_id;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_condition(void) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(&answered, &attributes);
}

/* id 0: all of them. */
static void answer(uint32_t id) {
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < WAITERS; i++)
    if (waiters[i].id && (id == 0 || waiters[i].id == id)) waiters[i].is_answered = true;
  pthread_cond_broadcast(&answered);
  pthread_mutex_unlock(&mutex);
}

static void *read_answers(void *argument) {
  int fd = (int)(intptr_t)argument;
  uint32_t id;
  ssize_t got;
  while ((got = recv(fd, &id, sizeof id, 0)) > 0 || (got < 0 && errno == EINTR))
    if (got == sizeof id && id) answer(id);
  /* The server is gone: look-ups are made without hints, and nobody waits for one. */
  pthread_mutex_lock(&mutex);
  if (hint_fd == fd) hint_fd = -1;
  pthread_mutex_unlock(&mutex);
  close(fd);
  answer(0);
  return NULL;
}

void hint_start(int fd) {
  pthread_once(&once, make_condition);
  int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
  pthread_mutex_lock(&mutex);
  if (hint_fd >= 0) shutdown(hint_fd, SHUT_RDWR); /* ends its reader, which closes it */
  hint_fd = copy;
  pthread_mutex_unlock(&mutex);
  if (copy >= 0 && thread_start(read_answers, (void *)(intptr_t)copy) != 0) {
    pthread_mutex_lock(&mutex);
    hint_fd = -1;
    pthread_mutex_unlock(&mutex);
    close(copy);
  }
}

static struct waiter *take_locked(void) {
  for (int i = 0; i < WAITERS; i++)
    if (!waiters[i].id) {
      if (++last_id == 0) last_id = 1;
      waiters[i] = (struct waiter){last_id, false};
      return &waiters[i];
    }
  return NULL;
}

void hint_path(const char *path) {
  char message[4 + LONGEST_PATH];
  size_t length = strlen(path);
  if (length > LONGEST_PATH - 1) return;
  pthread_mutex_lock(&mutex);
  struct waiter *waiter = hint_fd < 0 ? NULL : take_locked();
  if (!waiter) {
    pthread_mutex_unlock(&mutex);
    return;
  }
  memcpy(message, &waiter->id, 4);
  memcpy(message + 4, path, length);
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += WAIT_MS / 1000;
  /* A server that does not read is as good as one that gave up. */
  bool waits = send(hint_fd, message, 4 + length, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
  while (waits && !waiter->is_answered) waits = pthread_cond_timedwait(&answered, &mutex, &until) == 0;
  waiter->id = 0;
  pthread_mutex_unlock(&mutex);
}
