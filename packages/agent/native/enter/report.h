// Events for whoever started inpod-enter: one JSON object per line on stdout, flushed.
#pragma once
#include <stdint.h>
#include <sys/types.h>

void report_listening(uint16_t port);
void report_target(pid_t pid);
// `what` for people: what was tried, in our words. Never holds a value of the target's environment.
void report_error(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A clean end: "SIGTERM", "SIGINT", "SIGHUP", "deadline", "stdin", "node".
void report_ended(const char *why);
// "ENOENT"; "EIO" for a number it does not know.
const char *errno_name(int error);
