#include "tap.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_THREADS = 256, IDLE_SECONDS = 10 };

struct job {
  void (*run)(void *);
  void *argument;
  struct job *next;
};
static struct job *first, **last = &first;
static int threads, idle;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;

int thread_start(void *(*run)(void *), void *argument) {
  /* Signals are for the main thread. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attributes, 256 * 1024);
  pthread_t thread;
  int error = pthread_create(&thread, &attributes, run, argument);
  pthread_attr_destroy(&attributes);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return -error;
}

static void *work(void *unused) {
  (void)unused;
  pthread_mutex_lock(&mutex);
  for (;;) {
    while (!first) {
      struct timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_sec += IDLE_SECONDS;
      idle++;
      int timed_out = pthread_cond_timedwait(&more, &mutex, &until) == ETIMEDOUT;
      idle--;
      if (timed_out && !first) {
        threads--;
        pthread_mutex_unlock(&mutex);
        return NULL;
      }
    }
    struct job *job = first;
    first = job->next;
    if (!first) last = &first;
    pthread_mutex_unlock(&mutex);
    job->run(job->argument);
    free(job);
    pthread_mutex_lock(&mutex);
  }
}

void pool_run(void (*run)(void *), void *argument) {
  struct job *job = malloc(sizeof *job);
  if (!job) abort();
  *job = (struct job){run, argument, NULL};
  pthread_mutex_lock(&mutex);
  *last = job;
  last = &job->next;
  int queued = 0;
  for (struct job *j = first; j && queued <= idle; j = j->next) queued++;
  bool start = queued > idle && threads < MAX_THREADS;
  if (start) threads++;
  pthread_cond_signal(&more);
  pthread_mutex_unlock(&mutex);
  if (start && thread_start(work, NULL) != 0) {
    pthread_mutex_lock(&mutex);
    threads--;
    pthread_mutex_unlock(&mutex);
  }
}
