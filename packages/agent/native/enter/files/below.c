#define _GNU_SOURCE
#include "below.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static int root = -1;
static bool has_openat2, sees_mounts;

static int open_at_once(const char *path) {
  struct open_how how = {
      .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
      .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS,
  };
  int fd = syscall(SYS_openat2, root, path, &how, sizeof how);
  return fd >= 0 ? fd : errno == ELOOP ? -ESTALE : -errno;
}

void below_begin(int root_fd) {
  root = root_fd;
  // Linux before 5.6 has none, and older seccomp profiles of container engines say EPERM.
  int fd = open_at_once("/");
  has_openat2 = fd >= 0;
  if (fd >= 0) close(fd);
  struct statx x;
  sees_mounts = !syscall(SYS_statx, root, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &x) &&
                x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT;
}

bool mounts_are_seen(void) { return sees_mounts; }

int below_root(void) { return openat(root, ".", O_PATH | O_DIRECTORY | O_CLOEXEC); }

// The same name by name: no name is "..", and none is followed, so that there is no way out.
static int open_by_names(const char *path) {
  int fd = below_root();
  if (fd < 0) return -errno;
  for (const char *at = path + 1; *at;) {
    char name[NAME_ROOM];
    size_t length = strcspn(at, "/");
    int next = -ENAMETOOLONG;
    if (length < sizeof name) {
      memcpy(name, at, length);
      name[length] = 0;
      next = openat(fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
      if (next < 0) next = -errno;
    }
    struct stat stat;
    if (next == -ENOTDIR && !fstat(fd, &stat) && S_ISLNK(stat.st_mode)) next = -ESTALE;
    close(fd);
    if (next < 0) return next;
    fd = next;
    at += length + (at[length] == '/');
  }
  return fd;
}

int below_open(const char *path) { return has_openat2 ? open_at_once(path) : open_by_names(path); }

int below_parent(const char *path, const char **name) {
  const char *slash = strrchr(path, '/');
  if (!slash[1]) return -EBUSY;
  *name = slash + 1;
  if (slash == path) return below_open("/");
  char parent[PATH_ROOM];
  memcpy(parent, path, slash - path);
  parent[slash - path] = 0;
  int fd = below_open(parent);
  if (fd < 0) return fd;
  struct stat stat;
  int error = fstat(fd, &stat) ? errno : S_ISLNK(stat.st_mode) ? ESTALE : S_ISDIR(stat.st_mode) ? 0 : ENOTDIR;
  if (!error) return fd;
  close(fd);
  return -error;
}

int below_reopen(int path_fd, int flags) {
  char own[32];
  snprintf(own, sizeof own, "/proc/self/fd/%d", path_fd);
  // Not to wait where somebody holds a lease of his own on the file (fcntl(2), F_SETLEASE).
  int fd = open(own, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

int below_directory(int path_fd) {
  int fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC);
  if (fd < 0 && errno == EPERM) fd = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd >= 0 ? fd : -errno;
}

static int64_t nanoseconds(struct statx_timestamp time) {
  // A filesystem can hold any second, and 292 years either way are what a number of nanoseconds has.
  int64_t seconds = time.tv_sec;
  if (seconds > INT64_MAX / 1000000000 - 1) seconds = INT64_MAX / 1000000000 - 1;
  if (seconds < INT64_MIN / 1000000000 + 1) seconds = INT64_MIN / 1000000000 + 1;
  return seconds * 1000000000 + time.tv_nsec;
}

static int stat_by(int fd, const char *name, int flags, struct worker_stat *stat) {
  struct statx x;
  if (syscall(SYS_statx, fd, name, flags | AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &x)) return -errno;
  // Where another thing is mounted, its own directory sees what is done to it, as with another name of the same file.
  bool is_seen = x.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT && !(x.stx_attributes & STATX_ATTR_MOUNT_ROOT) &&
                 x.stx_nlink == 1 && !S_ISDIR(x.stx_mode);
  *stat = (struct worker_stat){
      .mode = x.stx_mode,
      .nlink = x.stx_nlink,
      .uid = x.stx_uid,
      .gid = x.stx_gid,
      .blksize = x.stx_blksize,
      .flags = is_seen ? 0 : STAT_UNWATCHED,
      .size = x.stx_size,
      .ino = x.stx_ino,
      .dev = makedev(x.stx_dev_major, x.stx_dev_minor),
      .rdev = makedev(x.stx_rdev_major, x.stx_rdev_minor),
      .blocks = x.stx_blocks,
      .atime_ns = nanoseconds(x.stx_atime),
      .mtime_ns = nanoseconds(x.stx_mtime),
      .ctime_ns = nanoseconds(x.stx_ctime),
  };
  return 0;
}

int stat_of(int fd, struct worker_stat *stat) { return stat_by(fd, "", AT_EMPTY_PATH, stat); }

int stat_at(int dir_fd, const char *name, struct worker_stat *stat) {
  return stat_by(dir_fd, name, AT_SYMLINK_NOFOLLOW, stat);
}

enum filesystem filesystem_of(int fd) {
  struct statfs found;
  if (fstatfs(fd, &found)) return FILESYSTEM_DISTANT;
  // linux/magic.h, and what filesystems beside the kernel's tree call themselves.
  switch ((uint32_t)found.f_type) {
    case 0x9fa0:
      return FILESYSTEM_PROC;
    case 0x62656572: // sysfs
    case 0x27e0eb: // cgroup
    case 0x63677270: // cgroup2
    case 0x64626720: // debugfs
    case 0x74726163: // tracefs
    case 0x73636673: // securityfs
    case 0xf97cff8c: // selinuxfs
    case 0xcafe4a11: // bpf
    case 0x6165676c: // pstore
    case 0xde5e81e4: // efivarfs
    case 0x62656570: // configfs
    case 0x42494e4d: // binfmt_misc
    case 0x1cd1: // devpts
    case 0x19800202: // mqueue
    case 0x0187: // autofs
    case 0x6e736673: // nsfs
    case 0x65735543: // fusectl
      return FILESYSTEM_PSEUDO;
    case 0xef53: // ext2, ext3, ext4
    case 0x58465342: // xfs
    case 0x9123683e: // btrfs
    case 0xca451a4e: // bcachefs
    case 0xf2f52010: // f2fs
    case 0x2fc12fc1: // zfs
    case 0x01021994: // tmpfs
    case 0x858458f6: // ramfs
    case 0x794c7630: // overlay
    case 0xe0f5e1e2: // erofs
    case 0x73717368: // squashfs
    case 0x9660: // iso9660
    case 0x4d44: // vfat
    case 0x2011bab0: // exfat
      return FILESYSTEM_OWN;
    default:
      return FILESYSTEM_DISTANT;
  }
}
