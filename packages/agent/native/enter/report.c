#include "report.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

// strerrorname_np() is glibc's alone, and inpod-enter is also built with musl.
const char *errno_name(int error) {
  switch (error) {
#define NAME(e) \
  case e: return #e
    NAME(E2BIG); NAME(EACCES); NAME(EADDRINUSE); NAME(EADDRNOTAVAIL); NAME(EAFNOSUPPORT);
    NAME(EAGAIN); NAME(EBADF); NAME(EBUSY); NAME(ECHILD); NAME(EEXIST); NAME(EFBIG); NAME(EINVAL);
    NAME(EISDIR); NAME(ELOOP); NAME(EMFILE); NAME(ENAMETOOLONG); NAME(ENFILE); NAME(ENODEV);
    NAME(ENOENT); NAME(ENOEXEC); NAME(ENOMEM); NAME(ENOSPC); NAME(ENOSYS); NAME(ENOTDIR);
    NAME(ENXIO); NAME(EOPNOTSUPP); NAME(EPERM); NAME(EPIPE); NAME(EPROTO); NAME(EROFS); NAME(ESRCH); NAME(ESTALE);
    NAME(ETIMEDOUT);
#undef NAME
    default: return "EIO";
  }
}

static void put_line(const char *line, int length) {
  // One write per line, so that lines never mix; a reader that has gone does not matter to us.
  if (write(STDOUT_FILENO, line, length) < 0) return;
}

void report_listening(uint16_t port) {
  char line[64];
  put_line(line, snprintf(line, sizeof line, "{\"event\":\"listening\",\"port\":%u}\n", port));
}

void report_target(pid_t pid) {
  char line[64];
  put_line(line, snprintf(line, sizeof line, "{\"event\":\"target\",\"pid\":%d}\n", pid));
}

void report_ended(const char *why) {
  char line[64];
  put_line(line, snprintf(line, sizeof line, "{\"event\":\"ended\",\"why\":\"%s\"}\n", why));
}

void report_error(int error, const char *format, ...) {
  char what[512], line[1200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  int length = snprintf(line, sizeof line, "{\"event\":\"error\",\"errno\":\"%s\",\"what\":\"", errno_name(error));
  for (const char *c = what; *c; c++) {
    if (*c == '"' || *c == '\\') line[length++] = '\\';
    // Bytes beyond ASCII may be no UTF-8.
    line[length++] = *c >= ' ' && *c < 127 ? *c : '?';
  }
  length += snprintf(line + length, sizeof line - length, "\"}\n");
  put_line(line, length);
}
