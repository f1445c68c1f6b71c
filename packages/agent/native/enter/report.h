// Events for whoever started inpod-enter: one JSON object per line on stdout, flushed; or words for people.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum log_level { LOG_OFF, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_TRACE };

// Until then: JSON, everything up to "info".
void report_as(enum log_level level, bool is_plain);

void report_listening(uint16_t port);
void report_listening_on_path(void);
void report_target(pid_t pid);
// A target that cannot be found again.
void report_target_gone(void);
// `what` for people: what was tried, in our words. Never holds a value of the target's environment.
void report_error(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A clean end: "SIGTERM", "SIGINT", "SIGHUP", "deadline", "stdin", "node".
void report_ended(const char *why);
// "ENOENT"; "EIO" for a number it does not know.
const char *errno_name(int error);
