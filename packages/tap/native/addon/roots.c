/*
 * Processes with a root directory of their own: after chroot(2), or inside a container or sandbox that the tree has
 * started (bwrap, podman). Their absolute names are of that root and not the machine's, so none of them is the pod's.
 */
#include "tap.h"
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

/*
 * What was seen holds for a second, by which a process id that the kernel gives out again cannot stay wrong for long. After a
 * call that may change it is looked at each time for a while: the call has still to happen, and there may be other threads.
 */
enum { ENTRIES = 1024, FRESH_NS = 1000000000, UNSETTLED_NS = 100000000 };

static struct root_entry {
  pid_t tgid;
  bool is_other;
  int64_t holds_until_ns, unsettled_until_ns;
} entries[ENTRIES];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

/* Who cannot be looked at has ended, or is another user's: as if there were nothing to see. */
static bool look(pid_t tid) {
  char path[64];
  struct stat ours, its;
  snprintf(path, sizeof path, "/proc/%d/root", tid);
  if (stat(path, &its) != 0 || stat("/", &ours) != 0) return false;
  return its.st_dev != ours.st_dev || its.st_ino != ours.st_ino;
}

void root_changes(pid_t tgid) {
  pthread_mutex_lock(&mutex);
  entries[(unsigned)tgid % ENTRIES] = (struct root_entry){.tgid = tgid, .unsettled_until_ns = now_ns() + UNSETTLED_NS};
  pthread_mutex_unlock(&mutex);
}

bool root_is_other(pid_t tid, pid_t tgid) {
  struct root_entry *entry = &entries[(unsigned)tgid % ENTRIES];
  int64_t now = now_ns();
  pthread_mutex_lock(&mutex);
  struct root_entry seen = *entry;
  pthread_mutex_unlock(&mutex);
  if (seen.tgid == tgid && now < seen.holds_until_ns) return seen.is_other;
  bool is_other = look(tid);
  pthread_mutex_lock(&mutex);
  int64_t unsettled = entry->tgid == tgid ? entry->unsettled_until_ns : 0;
  *entry = (struct root_entry){tgid, is_other, now < unsettled ? 0 : now + FRESH_NS, unsettled};
  pthread_mutex_unlock(&mutex);
  return is_other;
}
