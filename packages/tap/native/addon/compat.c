#include "compat.h"
#include "newer-calls.h"
#include "compat-calls.h"
#include "programs.h"
#include <linux/audit.h>
#include <string.h>

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#else
#define OWN_ARCH AUDIT_ARCH_AARCH64
#endif

bool compat_is_native(const struct seccomp_notif *notif) { return notif->data.arch == OWN_ARCH; }

static bool executes(int nr) { return nr == COMPAT_EXECVE || nr == COMPAT_EXECVEAT; }

#if defined(__x86_64__)

static const struct compat_call *find(const struct compat_call *calls, size_t count, int nr) {
  for (size_t i = 0; i < count; i++)
    if (calls[i].nr == nr) return &calls[i];
  return NULL;
}

/* What the filter could not see, because it is in memory. */
static bool is_wanted(const struct compat_socketcall *call, const __u64 args[6]) {
  if (call->when == COMPAT_POINTER) return args[call->argument] != 0;
  return call->when != COMPAT_SOCKET_ERROR || (args[1] == SOL_SOCKET && args[2] == SO_ERROR);
}

static bool unfold_socketcall(struct seccomp_notif *notif) {
  for (size_t i = 0; i < sizeof compat_socketcalls / sizeof *compat_socketcalls; i++) {
    const struct compat_socketcall *call = &compat_socketcalls[i];
    if (notif->data.args[0] != (uint64_t)call->nr) continue;
    uint32_t words[6] = {0};
    ssize_t bytes = (ssize_t)(call->arguments * sizeof *words);
    if (memory_read((pid_t)notif->pid, notif->data.args[1], words, (size_t)bytes) != bytes) return false;
    for (int j = 0; j < 6; j++) notif->data.args[j] = words[j];
    notif->data.nr = call->native;
    return is_wanted(call, notif->data.args);
  }
  return false;
}

static int native_of(int nr) {
  if (nr == COMPAT_SECCOMP) return __NR_seccomp;
  if (nr == COMPAT_UNAME) return __NR_uname; /* the strings of struct new_utsname are as long */
  const struct compat_call *call = find(compat_network, sizeof compat_network / sizeof *compat_network, nr);
  if (!call) call = find(compat_files, sizeof compat_files / sizeof *compat_files, nr);
  return call ? call->native : -1;
}

static bool translate(struct seccomp_notif *notif) {
  __u64 *args = notif->data.args;
  if (notif->data.nr == COMPAT_SOCKETCALL) return unfold_socketcall(notif);
  if (notif->data.nr == COMPAT_TRUNCATE64) args[1] |= args[2] << 32; /* the length in two registers */
  notif->data.nr = native_of(notif->data.nr);
  return notif->data.nr >= 0;
}

#else

static bool translate(struct seccomp_notif *notif) {
  bool is_told = notif->data.nr == COMPAT_SECCOMP;
  if (is_told) notif->data.nr = __NR_seccomp;
  else emit_limited_program((pid_t)notif->pid, "32-bit");
  return is_told;
}

#endif

enum compat_kind compat_translate(const struct seccomp_notif *notif, struct seccomp_notif *into) {
  if (executes(notif->data.nr)) return COMPAT_EXECUTES;
  *into = *notif;
  return translate(into) ? COMPAT_TRANSLATED : COMPAT_UNTOUCHED;
}

/* By hand: x86-64's compiler lays 64-bit numbers out on other borders. */
static void put32(uint8_t *into, int at, uint64_t value) {
  uint32_t low = (uint32_t)value;
  memcpy(into + at, &low, sizeof low);
}
static void put64(uint8_t *into, int at, uint64_t value) { memcpy(into + at, &value, sizeof value); }

void compat_stat(const struct stat *from, void *into) {
  uint8_t *to = into;
  memset(to, 0, COMPAT_STAT_BYTES);
  put64(to, 0, from->st_dev);
  put32(to, 12, from->st_ino);
  put32(to, 16, from->st_mode);
  put32(to, 20, from->st_nlink);
  put32(to, 24, from->st_uid);
  put32(to, 28, from->st_gid);
  put64(to, 32, from->st_rdev);
  put64(to, 44, (uint64_t)from->st_size);
  put32(to, 52, (uint64_t)from->st_blksize);
  put64(to, 56, (uint64_t)from->st_blocks);
  put32(to, 64, (uint64_t)from->st_atim.tv_sec);
  put32(to, 68, (uint64_t)from->st_atim.tv_nsec);
  put32(to, 72, (uint64_t)from->st_mtim.tv_sec);
  put32(to, 76, (uint64_t)from->st_mtim.tv_nsec);
  put32(to, 80, (uint64_t)from->st_ctim.tv_sec);
  put32(to, 84, (uint64_t)from->st_ctim.tv_nsec);
  put64(to, 88, from->st_ino);
}
