/*
 * Notifications to the kernel, from a thread of their own. A notification takes locks that a request may hold which
 * waits for our answer: on the thread that answers it would wait for itself, and not even SIGKILL would end that.
 *
 * If the process is killed while this thread waits so, the kernel must answer that request in our stead. It does when
 * the device that the request was read from is closed. So this thread has a clone of the device, and a table of
 * descriptors of its own with nothing else in it.
 */
#include "addon.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Twice as many as files are known: all of them may be told at once. */
enum { MAX_QUEUED = 65536 };

struct message {
  struct message *next;
  size_t length;
  uint8_t bytes[];
};
struct notifier {
  int device;
  int queued;
  bool has_started;
  struct message *first, **last;
  pthread_mutex_t mutex;
  pthread_cond_t more, started;
};

static void *send_notifications(void *argument) {
  struct notifier *n = argument;
  prctl(PR_SET_NAME, "inpod-notify");
  if (unshare(CLONE_FILES) == 0) {
    if (n->device > 0) syscall(SYS_close_range, 0u, (unsigned)n->device - 1, 0u);
    syscall(SYS_close_range, (unsigned)n->device + 1, ~0u, 0u);
  }
  pthread_mutex_lock(&n->mutex);
  n->has_started = true;
  pthread_cond_signal(&n->started);
  for (;;) {
    while (!n->first) pthread_cond_wait(&n->more, &n->mutex);
    struct message *message = n->first;
    n->first = message->next;
    if (!n->first) n->last = &n->first;
    n->queued--;
    pthread_mutex_unlock(&n->mutex);
    /* ENOENT: the kernel does not know the file (any more). ENOTCONN: the mount is gone. Either way it is done. */
    ssize_t ignored = write(n->device, message->bytes, message->length);
    (void)ignored;
    free(message);
    pthread_mutex_lock(&n->mutex);
  }
  return NULL;
}

/* startNotifier(device) -> a handle, or a negative errno. Takes the descriptor: afterwards it is closed for others. */
napi_value start_notifier(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct notifier *n = calloc(1, sizeof *n);
  if (!n) return number(env, -ENOMEM);
  n->device = int_of(&call, 0);
  n->last = &n->first;
  pthread_mutex_init(&n->mutex, NULL);
  pthread_cond_init(&n->more, NULL);
  pthread_cond_init(&n->started, NULL);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  int error = pthread_create(&thread, NULL, send_notifications, n);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) {
    free(n);
    return number(env, -error);
  }
  pthread_detach(thread);
  pthread_mutex_lock(&n->mutex);
  while (!n->has_started) pthread_cond_wait(&n->started, &n->mutex);
  pthread_mutex_unlock(&n->mutex);
  close(n->device);
  napi_value result;
  napi_create_external(env, n, NULL, NULL, &result);
  return result;
}

/* notify(handle, bytes) -> 0, or -EAGAIN: too many wait, and this one is dropped */
napi_value notify(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *handle = NULL;
  if (napi_get_value_external(env, call.arguments[0], &handle) != napi_ok) return number(env, -EINVAL);
  struct notifier *n = handle;
  uint8_t *bytes;
  size_t length;
  bytes_of(&call, 1, &bytes, &length);
  struct message *message = malloc(sizeof *message + length);
  if (!message) return number(env, -ENOMEM);
  message->next = NULL;
  message->length = length;
  memcpy(message->bytes, bytes, length);
  pthread_mutex_lock(&n->mutex);
  bool has_room = n->queued < MAX_QUEUED;
  if (has_room) {
    *n->last = message;
    n->last = &message->next;
    n->queued++;
    pthread_cond_signal(&n->more);
  }
  pthread_mutex_unlock(&n->mutex);
  if (!has_room) free(message);
  return number(env, has_room ? 0 : -EAGAIN);
}
