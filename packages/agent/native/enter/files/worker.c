#define _GNU_SOURCE
#include "worker.h"
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "../child.h"
#include "below.h"
#include "connecting.h"
#include "queue.h"
#include "send.h"
#include "watching.h"

static int socket_fd;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static bool read_all(void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = read(socket_fd, (char *)buffer + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += got;
  }
  return true;
}

// Node or the protocol has ended, and other threads may be stuck: theirs is no exit to wait for.
void send_all(const void *bytes, size_t size) {
  pthread_mutex_lock(&writing);
  for (size_t done = 0; done < size;) {
    ssize_t put = send(socket_fd, (const char *)bytes + done, size - done, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) _exit(0);
    done += put;
  }
  pthread_mutex_unlock(&writing);
}

// Past whatever the last worker has left of the questions.
static bool begin(const uint8_t mark[WORKER_MARK]) {
  uint8_t seen[WORKER_MARK];
  if (!read_all(seen, sizeof seen)) return false;
  while (memcmp(seen, mark, sizeof seen)) {
    memmove(seen, seen + 1, sizeof seen - 1);
    if (!read_all(seen + sizeof seen - 1, 1)) return false;
  }
  send_all(mark, WORKER_MARK);
  return true;
}

static operation *operation_of(uint8_t number) {
  switch (number) {
    case WORKER_LOOK: return look;
    case WORKER_CHAIN: return chain;
    case WORKER_LIST: return list;
    case WORKER_TREE: return tree;
    case WORKER_READLINK: return read_link;
    case WORKER_ACCESS: return check_access;
    case WORKER_STATFS: return stat_filesystem;
    case WORKER_GETXATTR: return get_xattr;
    case WORKER_LISTXATTR: return list_xattr;
    case WORKER_OPEN: return open_handle;
    case WORKER_READ: return read_handle;
    case WORKER_WRITE: return write_handle;
    case WORKER_FSTAT: return stat_handle;
    case WORKER_FSYNC: return sync_handle;
    case WORKER_FALLOCATE: return allocate_handle;
    case WORKER_LSEEK: return seek_handle;
    case WORKER_COPY: return copy_handles;
    case WORKER_SETATTR: return set_attributes;
    case WORKER_MKDIR: return make_directory;
    case WORKER_UNLINK: return remove_file;
    case WORKER_RMDIR: return remove_directory;
    case WORKER_SYMLINK: return make_link;
    case WORKER_LINK: return add_name;
    case WORKER_RENAME: return rename_file;
    case WORKER_MKNOD: return make_node;
    case WORKER_SETXATTR: return set_xattr;
    case WORKER_REMOVEXATTR: return remove_xattr;
    case WORKER_LOCK: return lock_handle;
    case WORKER_CONNECT_UNIX: return connect_unix;
    default: return NULL;
  }
}

// The only one that names it now: the queue has seen to that.
static int close_handle(struct request *request) {
  int fd = request->handles[0]->fd;
  if (fd < 0) return -EBADF;
  request->handles[0]->fd = -1;
  // Some filesystems tell only now that what was written did not fit. Interrupted, it is closed all the same.
  return close(fd) && errno != EINTR ? -errno : 0;
}

static int run(struct request *request, struct out *out) {
  if (request->error) {
    if (request->header.operation == WORKER_OPEN && request->handles[0]) queue_opened(request, -request->error, false);
    return -request->error;
  }
  uint8_t number = request->header.operation;
  // What there was to do has been done where the order of requests is known: the queue.
  if (number == WORKER_FORGET) return 0;
  if (number == WORKER_CLOSE) return close_handle(request);
  operation *known = operation_of(number);
  struct in in = request_body(request);
  return known ? known(request, &in, out) : -ENOSYS;
}

static void answer(struct request *request) {
  struct out out = {0};
  struct worker_answer head = {.id = request->header.id};
  out_bytes(&out, &head, sizeof head);
  int error = run(request, &out);
  if (out.is_lost) error = -ENOMEM;
  uint8_t number = request->header.operation;
  if (number == WORKER_CLOSE || number == WORKER_FORGET) queue_release(request);
  if (error < 0) {
    head.error = -error;
    head.length = sizeof head - sizeof head.length;
    send_all(&head, sizeof head);
  } else {
    head.length = out.length - sizeof head.length;
    memcpy(out.bytes, &head, sizeof head);
    send_all(out.bytes, out.length);
  }
  free(out.bytes);
  watch_answered(request);
  queue_done(request);
}

static void *serve(void *unused) {
  (void)unused;
  for (;;) answer(queue_take());
  return NULL;
}

static void answer_late(void) {
  for (struct request *late; (late = queue_take_late());) answer(late);
}

static struct request *read_request(void) {
  struct worker_header header;
  if (!read_all(&header, sizeof header)) return NULL;
  size_t fixed = sizeof header - sizeof header.length;
  // A length that cannot be: the two ends no longer agree, and nothing after it has a meaning.
  if (header.length < fixed || header.length > WORKER_REQUEST_LIMIT) return NULL;
  size_t length = header.length - fixed;
  struct request *request = calloc(1, sizeof *request + length);
  if (!request) return NULL;
  request->header = header;
  request->body_length = length;
  return read_all(request->body, length) ? request : NULL;
}

// Descriptors for open files, of all that the kernel lets us have; some are left for what opens and closes.
static int raise_descriptors(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur > 200000 ? 200000 : limit.rlim_cur > 1024 ? (int)limit.rlim_cur - 512 : 512;
}

struct working {
  const struct target *target;
  int socket, channel;
  const uint8_t *mark;
};

static void run_worker(void *argument) {
  const struct working *working = argument;
  socket_fd = working->socket;
  // A file beyond RLIMIT_FSIZE is EFBIG for who asked, not our end.
  signal(SIGXFSZ, SIG_IGN);
  // Modes are the user's process's business, which has a umask of its own.
  umask(0);
  // What was large is given back at once, whichever thread had it.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  mallopt(M_ARENA_MAX, 2);
  handles_begin(raise_descriptors());
  below_begin(working->target->root_fd);
  watching_begin();
  connecting_begin(working->channel);
  if (!begin(working->mark)) _exit(0);
  queue_begin(serve);
  for (struct request *request; (request = read_request());) {
    answer_late();
    while (!queue_put(request)) answer_late();
  }
  _exit(0);
}

pid_t start_worker(const struct target *target, int socket, int channel, const uint8_t mark[WORKER_MARK]) {
  struct working working = {target, socket, channel, mark};
  int kept[] = {target->root_fd, target->mounts_fd, socket, channel};
  return start_child(&(struct child){
      .ids = &target->ids,
      .descriptors = kept,
      .descriptor_count = sizeof kept / sizeof *kept,
      .run = run_worker,
      .argument = &working,
  });
}
