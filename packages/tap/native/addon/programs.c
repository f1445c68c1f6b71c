/* Programs that are not, or not wholly, as without inpod: a person is told by name, and what it means. */
#include "programs.h"
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { NAME_BYTES = 64, STATUS_BYTES = 4096 };

static void read_text(pid_t tid, const char *name, char *into, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", tid, name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, into, size - 1);
  if (fd >= 0) close(fd);
  into[got > 0 ? got : 0] = 0;
}

/* Its path, or where that may not be asked its name. */
static void name_of(pid_t tid, char into[PATH_MAX]) {
  char link[64];
  snprintf(link, sizeof link, "/proc/%d/exe", tid);
  ssize_t length = readlink(link, into, PATH_MAX - 1);
  if (length >= 0) into[length] = 0;
  else read_text(tid, "comm", into, NAME_BYTES);
  if (length < 0) into[strcspn(into, "\n")] = 0;
}

void emit_limited_program(pid_t tid, const char *why) {
  char name[PATH_MAX];
  name_of(tid, name);
  if (name[0]) emit_limited(tid, name, why);
}

static bool has_no_new_privileges(pid_t tid) {
  char status[STATUS_BYTES];
  read_text(tid, "status", status, sizeof status);
  return strstr(status, "\nNoNewPrivs:\t1") != NULL;
}

/* While its first call is held: a program that is let go on may have ended. The kernel has just asked the file the same. */
void program_tell_privileges(pid_t tid, const char *executable) {
  char link[64];
  struct stat file;
  snprintf(link, sizeof link, "/proc/%d/exe", tid);
  if (stat(link, &file) != 0) return;
  bool is_set_id = (file.st_mode & S_ISUID) || (file.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP);
  bool has_capabilities = !is_set_id && getxattr(link, "security.capability", NULL, 0) > 0;
  if ((!is_set_id && !has_capabilities) || !has_no_new_privileges(tid)) return;
  emit_limited(tid, executable, is_set_id ? "setuid" : "capabilities");
}

/* A filter of one instruction decides nothing: somebody tries whether he could, as doors.c does, and tells it himself. */
bool handle_seccomp(struct op *op) {
  uint16_t length = 0; /* of struct sock_fprog */
  if (memory_read(op->tid, op->args[2], &length, sizeof length) == sizeof length && length > 1)
    emit_limited_program(op->tid, "listener");
  return false;
}
