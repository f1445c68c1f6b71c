#define _GNU_SOURCE
#include "worker.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "files.h"

// A thread that waits for a dead network filesystem waits alone; each holds at most one content.
enum { THREADS = 4 };

struct __attribute__((packed)) request {
  uint32_t length, id;
  uint8_t operation, flags;
  uint16_t mode;
  uint32_t limit;
};
struct __attribute__((packed)) answer {
  uint32_t length, id;
  int32_t error;
};

static int root_fd, socket_fd;
static pthread_mutex_t reading = PTHREAD_MUTEX_INITIALIZER, writing = PTHREAD_MUTEX_INITIALIZER;

static bool read_all(void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t got = read(socket_fd, (char *)buffer + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += got;
  }
  return true;
}

static bool write_all(const void *buffer, size_t size) {
  for (size_t done = 0; done < size;) {
    ssize_t put = send(socket_fd, (const char *)buffer + done, size - done, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    done += put;
  }
  return true;
}

static bool read_request(struct request *request, char *path) {
  if (!read_all(request, sizeof *request)) return false;
  size_t fixed = sizeof *request - sizeof request->length;
  // A length that cannot be: the two ends no longer agree, and nothing after it has a meaning.
  if (request->length <= fixed || request->length > fixed + WORKER_PATH_LIMIT) return false;
  size_t length = request->length - fixed;
  if (!read_all(path, length)) return false;
  path[length] = 0;
  if (path[0] != '/' || strlen(path) != length) request->operation = 0;
  return true;
}

// Past whatever the last worker has left of the questions.
static bool begin(void) {
  size_t zeros = 0;
  for (uint8_t byte; zeros < WORKER_MARK_ZEROS; zeros = byte ? 0 : zeros + 1)
    if (!read_all(&byte, 1)) return false;
  uint8_t nonce[WORKER_MARK_NONCE];
  return read_all(nonce, sizeof nonce) && write_all(nonce, sizeof nonce);
}

static void *serve(void *unused) {
  (void)unused;
  for (;;) {
    struct request request;
    char path[WORKER_PATH_LIMIT + 1], link[4096];
    pthread_mutex_lock(&reading);
    bool has_request = read_request(&request, path);
    pthread_mutex_unlock(&reading);
    // Node or the protocol has ended, and the other threads may be stuck: not their exit to wait for.
    if (!has_request) _exit(0);

    struct worker_stat stat;
    struct { const void *bytes; size_t length; } parts[2] = {0};
    char *content = NULL;
    ssize_t result = -EINVAL;
    switch (request.operation) {
      case WORKER_STAT:
        result = file_stat(root_fd, path, request.flags & 1, &stat);
        parts[0].bytes = &stat, parts[0].length = sizeof stat;
        break;
      case WORKER_READLINK:
        result = file_readlink(root_fd, path, link, sizeof link);
        parts[0].bytes = link, parts[0].length = result;
        break;
      case WORKER_ACCESS:
        result = file_access(root_fd, path, request.mode);
        break;
      case WORKER_READ:
        result = file_read(root_fd, path, request.limit < WORKER_READ_LIMIT ? request.limit : WORKER_READ_LIMIT,
                           &stat, &content);
        parts[0].bytes = &stat, parts[0].length = sizeof stat;
        parts[1].bytes = content, parts[1].length = result;
        break;
    }
    if (result < 0) parts[0].length = parts[1].length = 0;
    struct answer answer = {
        .length = sizeof answer - sizeof answer.length + parts[0].length + parts[1].length,
        .id = request.id,
        .error = result < 0 ? -result : 0,
    };
    pthread_mutex_lock(&writing);
    bool is_sent = write_all(&answer, sizeof answer) && write_all(parts[0].bytes, parts[0].length) &&
                   write_all(parts[1].bytes, parts[1].length);
    pthread_mutex_unlock(&writing);
    free(content);
    if (!is_sent) _exit(0);
  }
}

static void run_worker(const struct target *target, pid_t parent, int result_fd) {
  setsid();
  limit_bounding_set(-1);
  int error = become(&target->ids);
  if (!error) error = keep_only(-1);
  die_with(parent);
  if (write(result_fd, &error, sizeof error) != sizeof error || error) _exit(1);
  close(result_fd);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (!begin()) _exit(0);
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 << 10);
  pthread_t thread;
  for (int each = 1; each < THREADS; each++) pthread_create(&thread, &small, serve, NULL);
  serve(NULL);
}

pid_t start_worker(const struct target *target, int socket) {
  int result[2];
  if (pipe2(result, O_CLOEXEC)) return -errno;
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    root_fd = target->root_fd;
    socket_fd = socket;
    // It keeps nothing of enter's: no listening socket, no pidfd, no stdout whose reader waits for EOF.
    for (int fd = 0; fd < 1024; fd++)
      if (fd != root_fd && fd != socket_fd && fd != result[1] && fd != STDERR_FILENO) close(fd);
    run_worker(target, parent, result[1]);
  }
  close(result[1]);
  int error = child < 0 ? errno : ETIMEDOUT;
  struct pollfd readable = {.fd = result[0], .events = POLLIN};
  if (child > 0 && poll(&readable, 1, 5000) == 1 && read(result[0], &error, sizeof error) != sizeof error)
    error = ECHILD;
  close(result[0]);
  if (!error) return child;
  if (child > 0) {
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
  }
  return -error;
}
