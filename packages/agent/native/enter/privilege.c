#define _GNU_SOURCE
#include "privilege.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "find.h"

static bool is_mapped(const char *map_file, uint32_t id) {
  // At most 340 lines of three numbers (user_namespaces(7)).
  char map[16384];
  if (read_proc(AT_FDCWD, map_file, map, sizeof map) <= 0) return false;
  for (char *line = strtok(map, "\n"); line; line = strtok(NULL, "\n")) {
    unsigned long inside, outside, count;
    if (sscanf(line, "%lu %lu %lu", &inside, &outside, &count) != 3) continue;
    if (id >= inside && id - inside < count) return true;
  }
  return false;
}

bool is_uid_mapped(uid_t uid) { return is_mapped("/proc/self/uid_map", uid); }
bool is_gid_mapped(gid_t gid) { return is_mapped("/proc/self/gid_map", gid); }

// An ordinary user's namespace says "deny": nobody in it, the target neither, can drop the user's groups.
static bool are_groups_fixed(void) {
  char answer[16];
  return read_proc(AT_FDCWD, "/proc/self/setgroups", answer, sizeof answer) > 0 &&
         !strncmp(answer, "deny", 4);
}

int become(const struct ids *ids) {
  bool is_that_already = getuid() == ids->uid && geteuid() == ids->uid && getgid() == ids->gid &&
                         getegid() == ids->gid;
  if (setgroups(ids->group_count, ids->groups) && !(errno == EPERM && (are_groups_fixed() || is_that_already)))
    return errno;
  if (setresgid(ids->gid, ids->gid, ids->gid)) return errno;
  if (setresuid(ids->uid, ids->uid, ids->uid)) return errno;
  return 0;
}

bool has_capability(int capability) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data)) return false;
  return data[capability >> 5].effective >> (capability & 31) & 1;
}

void limit_bounding_set(int capability) {
  for (int each = 0; each < 64; each++)
    if (each != capability) prctl(PR_CAPBSET_DROP, each, 0, 0, 0);
  if (capability < 0) prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED, 0, 0, 0);
}

int keep_only(int capability) {
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  if (capability >= 0) {
    uint32_t bit = 1u << (capability & 31);
    data[capability >> 5] = (struct __user_cap_data_struct){bit, bit, bit};
  }
  if (syscall(SYS_capset, &header, data)) return errno;
  // Without uid 0, only an ambient capability outlives execve.
  if (capability >= 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)) return errno;
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return errno;
  return 0;
}

void die_with(pid_t parent) {
  // The parent may have ended before prctl: then nobody would send the signal.
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || getppid() != parent) _exit(1);
}
