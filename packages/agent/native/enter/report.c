#include "report.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
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

static enum log_level allowed = LOG_INFO;
static bool is_plain;

void report_as(enum log_level level, bool plain) {
  allowed = level;
  is_plain = plain;
}

static void put_line(const char *line, int length) {
  // One write per line, so that lines never mix; a reader that has gone does not matter to us.
  if (write(STDOUT_FILENO, line, length) < 0) return;
}

// "2026-11-26T14:41:45.123Z INFO words", as Node's half of the agent writes its own lines.
static void put_plain(const char *level, const char *words) {
  char line[700], when[32];
  struct timespec now;
  struct tm utc;
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &utc);
  strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
  put_line(line, snprintf(line, sizeof line, "%s.%03ldZ %s %s\n", when, now.tv_nsec / 1000000, level, words));
}

static void put_event(const char *json, const char *words) {
  char line[128];
  if (allowed < LOG_INFO) return;
  if (is_plain) put_plain("INFO", words);
  else put_line(line, snprintf(line, sizeof line, "%s\n", json));
}

void report_listening(uint16_t port) {
  char json[64], words[64];
  snprintf(json, sizeof json, "{\"event\":\"listening\",\"port\":%u}", port);
  snprintf(words, sizeof words, "listening port=%u", port);
  put_event(json, words);
}

void report_listening_on_path(void) {
  char line[64];
  put_line(line, snprintf(line, sizeof line, "{\"event\":\"listening\",\"port\":null}\n"));
}

void report_target(pid_t pid) {
  char json[64], words[64];
  snprintf(json, sizeof json, "{\"event\":\"target\",\"pid\":%d}", pid);
  snprintf(words, sizeof words, "target pid=%d", pid);
  put_event(json, words);
}

void report_target_gone(void) {
  char line[64];
  put_line(line, snprintf(line, sizeof line, "{\"event\":\"target-gone\"}\n"));
}

void report_ended(const char *why) {
  char json[64], words[64];
  snprintf(json, sizeof json, "{\"event\":\"ended\",\"why\":\"%s\"}", why);
  snprintf(words, sizeof words, "ended why=%s", why);
  put_event(json, words);
}

void report_error(int error, const char *format, ...) {
  char what[512], line[1200];
  va_list arguments;
  if (allowed < LOG_ERROR) return;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  // Bytes beyond ASCII may be no UTF-8.
  for (char *c = what; *c; c++)
    if (*c < ' ' || *c >= 127) *c = '?';
  if (is_plain) {
    snprintf(line, sizeof line, "%s (%s)", what, errno_name(error));
    put_plain("ERROR", line);
    return;
  }
  int length = snprintf(line, sizeof line, "{\"event\":\"error\",\"errno\":\"%s\",\"what\":\"", errno_name(error));
  for (const char *c = what; *c; c++) {
    if (*c == '"' || *c == '\\') line[length++] = '\\';
    line[length++] = *c;
  }
  length += snprintf(line + length, sizeof line - length, "\"}\n");
  put_line(line, length);
}
