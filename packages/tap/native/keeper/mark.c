/* By which marks a session's processes are known: see ../../src/mark.ts. */
#define _GNU_SOURCE
#include "mark.h"
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { TEXT_MAX = 1 << 20 };
static char text[TEXT_MAX + 1];

/* Of /proc/PID/NAME, with a NUL behind it; 0 when it cannot be read. */
static size_t read_file(const char *pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%.20s/%s", pid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  size_t length = 0;
  ssize_t got;
  while (length < TEXT_MAX && (got = read(fd, text + length, TEXT_MAX - length)) > 0) length += (size_t)got;
  close(fd);
  text[length] = 0;
  return length;
}

static uint64_t limit_of(const char *mark) {
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (; *mark; mark++) hash = (hash ^ (unsigned char)*mark) * 1099511628211u;
  return (hash >> 2) | ((uint64_t)1 << 61);
}

static int has_limit(const char *pid, const char *mark) {
  if (!read_file(pid, "limits")) return 0;
  const char *locks = strstr(text, "\nMax file locks ");
  return locks && strtoull(locks + strlen("\nMax file locks "), NULL, 10) == limit_of(mark);
}

static int has_variable(const char *pid, const char *mark) {
  size_t length = read_file(pid, "environ");
  for (char *entry = text; entry < text + length; entry += strlen(entry) + 1)
    if (strcmp(entry, mark) == 0) return 1;
  return 0;
}

static int is_over(const char *pid) {
  if (!read_file(pid, "stat")) return 1;
  const char *state = strrchr(text, ')');
  return !state || !state[1] || state[2] == 'Z' || state[2] == 'X';
}

int has_mark(const char *pid, const char *mark) {
  return (has_limit(pid, mark) || has_variable(pid, mark)) && !is_over(pid);
}
