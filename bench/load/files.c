/* File operations for the benchmark; see main.c. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "net.h"

enum { SMALL_BYTES = 4096, BULK_BYTES = 1 << 20 };

static double now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int fail(const char *path) {
  fprintf(stderr, "bench-load: %s: %s\n", path, strerror(errno));
  return 1;
}

static int stat_once(const char *path) {
  struct stat found;
  return stat(path, &found);
}

static int read_once(const char *path) {
  static char bytes[SMALL_BYTES];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -1;
  ssize_t got = read(fd, bytes, sizeof bytes);
  close(fd);
  return got < 0 ? -1 : 0;
}

static int list_once(const char *path) {
  DIR *directory = opendir(path);
  if (!directory) return -1;
  while (readdir(directory)) continue;
  closedir(directory);
  return 0;
}

static int append_once(const char *path, int number) {
  static int fd = -1;
  char line[64];
  if (fd < 0) fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return -1;
  int length = snprintf(line, sizeof line, "line %d of a growing log\n", number);
  return write(fd, line, (size_t)length) == length ? 0 : -1;
}

/* Megabytes per second of the whole file, `count` times. */
static int sequential(int count, const char *path) {
  char *bytes = malloc(BULK_BYTES);
  double began = now_s(), total = 0;
  for (int i = 0; bytes && i < count; i++) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return fail(path);
    for (ssize_t got; (got = read(fd, bytes, BULK_BYTES)) > 0;) total += (double)got;
    close(fd);
  }
  printf("%.2f\n", total / 1e6 / (now_s() - began));
  free(bytes);
  return 0;
}

int files(const char *mode, int count, const char *path) {
  if (!strcmp(mode, "read")) return sequential(count, path);
  double began = now_s();
  for (int i = 0; i < count; i++) {
    int failed = !strcmp(mode, "stat")   ? stat_once(path)
                 : !strcmp(mode, "open") ? read_once(path)
                 : !strcmp(mode, "list") ? list_once(path)
                                         : append_once(path, i);
    if (failed) return fail(path);
  }
  printf("%.3f\n", (now_s() - began) * 1e6 / count);
  return 0;
}
