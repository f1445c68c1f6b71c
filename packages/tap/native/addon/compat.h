/* Calls of 32-bit programs: translated to the machine's own (../compat-calls.h says which). */
#pragma once
#include "tap.h"
#include <sys/stat.h>

/* The machine's own architecture, as a notification names it. */
bool compat_is_native(const struct seccomp_notif *notif);
enum compat_kind { COMPAT_TRANSLATED, COMPAT_EXECUTES, COMPAT_UNTOUCHED };
/* `into`: the same notification with the machine's own number and arguments. Else it goes on natively. */
enum compat_kind compat_translate(const struct seccomp_notif *notif, struct seccomp_notif *into);

/* i386's struct stat64 (arch/x86/include/uapi/asm/stat.h); arm64's 32-bit programs are not served. */
enum { COMPAT_STAT_BYTES = 96 };
void compat_stat(const struct stat *from, void *into);
