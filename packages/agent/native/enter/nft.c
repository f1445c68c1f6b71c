#define _GNU_SOURCE
#include "nft.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "clock.h"
#include "privilege.h"

enum { DEADLINE_MS = 5000, OUTPUT_LIMIT = 64 << 10 };

const char *find_nft(void) {
  static char path[4096];
  // An ordinary user's PATH often has no sbin.
  const char *own = getenv("PATH");
  char folders[8192];
  snprintf(folders, sizeof folders, "%s:/usr/sbin:/sbin:/usr/local/sbin:/usr/bin", own ? own : "");
  for (char *folder = strtok(folders, ":"); folder; folder = strtok(NULL, ":")) {
    if (folder[0] != '/') continue;
    snprintf(path, sizeof path, "%s/nft", folder);
    if (!access(path, X_OK)) return path;
  }
  return NULL;
}

static void run_nft(const char *path, int input, int output, pid_t parent) {
  setsid();
  dup2(input, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  limit_bounding_set(CAP_NET_ADMIN);
  if (keep_only(CAP_NET_ADMIN)) _exit(126);
  die_with(parent);
  // In interactive mode it writes $HOME/.nft.history at its end.
  char *environment[] = {"HOME=/dev/null", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb", NULL};
  char *arguments[] = {"nft", "-i", NULL};
  execve(path, arguments, environment);
  _exit(127);
}

int nft_start(struct nft *nft, char *detail, size_t size) {
  const char *path = find_nft();
  if (!path) {
    snprintf(detail, size, "nft not found");
    return ENOENT;
  }
  int input[2], output[2];
  if (pipe2(input, O_CLOEXEC)) return errno;
  if (pipe2(output, O_CLOEXEC)) {
    int error = errno;
    close(input[0]), close(input[1]);
    return error;
  }
  pid_t parent = getpid(), child = fork();
  if (child == 0) run_nft(path, input[0], output[1], parent);
  int error = child < 0 ? errno : 0;
  close(input[0]), close(output[1]);
  if (error) {
    close(input[1]), close(output[0]);
    return error;
  }
  *nft = (struct nft){.pid = child, .input = input[1], .output = output[0]};
  fcntl(nft->input, F_SETFL, O_NONBLOCK);
  fcntl(nft->output, F_SETFL, O_NONBLOCK);
  return 0;
}

// All of it within the deadline: nft may be waiting for us to read.
static int put(struct nft *nft, const char *text, int64_t deadline) {
  size_t length = strlen(text);
  while (length) {
    ssize_t written = write(nft->input, text, length);
    if (written > 0) {
      text += written, length -= written;
      continue;
    }
    if (written < 0 && errno != EAGAIN && errno != EINTR) return errno;
    struct pollfd writable = {.fd = nft->input, .events = POLLOUT};
    if (!poll(&writable, 1, ms_until(deadline))) return ETIMEDOUT;
  }
  return 0;
}

static const char *line_starting(const char *text, const char *start) {
  for (const char *line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
    if (!strncmp(line, start, strlen(start))) return line;
  return NULL;
}

// nft has words only. They are the C library's strerror in the C locale.
static int error_of(const char *line) {
  static const int known[] = {EPERM, ENOENT, EOPNOTSUPP, EEXIST, EBUSY, EINVAL, ENOMEM, EACCES, EMFILE, ENOSPC};
  for (size_t each = 0; each < sizeof known / sizeof *known; each++)
    if (strstr(line, strerror(known[each]))) return known[each];
  return EIO;
}

int nft_run(struct nft *nft, const char *commands, const char *proof, char *detail, size_t size) {
  int64_t deadline = now_ms() + DEADLINE_MS;
  char output[OUTPUT_LIMIT] = "";
  size_t length = 0;
  snprintf(detail, size, "nft does not answer");
  int error = put(nft, commands, deadline);
  if (!error) error = put(nft, proof, deadline);
  if (!error) error = put(nft, "\n", deadline);
  if (error) return error;
  // The list ends with the table's bracket; a list that failed is quoted below its error.
  while (!line_starting(output, "}\n") && !line_starting(output, proof)) {
    struct pollfd readable = {.fd = nft->output, .events = POLLIN};
    if (!poll(&readable, 1, ms_until(deadline))) return ETIMEDOUT;
    ssize_t got = read(nft->output, output + length, sizeof output - 1 - length);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (got <= 0) {
      snprintf(detail, size, "nft has ended");
      return EPIPE;
    }
    output[length += got] = 0;
  }
  const char *line = line_starting(output, "Error:");
  if (!line) return 0;
  snprintf(detail, size, "nft: %.*s", (int)strcspn(line, "\n"), line);
  return error_of(detail);
}

void nft_stop(struct nft *nft) {
  if (!nft->pid) return;
  kill(nft->pid, SIGKILL);
  waitpid(nft->pid, NULL, 0);
  close(nft->input), close(nft->output);
  *nft = (struct nft){0};
}
