// What changes names, and what belongs to a file beside its content.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "below.h"
#include "request.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

// A name and the directory it is in.
struct place {
  char path[PATH_ROOM];
  const char *name;
  int fd;
};

static int open_place(struct place *place) {
  place->fd = below_parent(place->path, &place->name);
  return place->fd < 0 ? place->fd : 0;
}

// What was made, if making it went well.
static int out_made(struct out *out, struct place *place, int error) {
  struct worker_stat stat;
  if (!error) error = stat_at(place->fd, place->name, &stat);
  close(place->fd);
  if (!error) out_bytes(out, &stat, sizeof stat);
  return error;
}

int make_directory(struct request *request, struct in *in, struct out *out) {
  (void)request;
  struct place place;
  in_path(in, place.path);
  uint16_t mode = in_u16(in);
  if (!in_is_over(in)) return -EINVAL;
  int error = open_place(&place);
  if (error) return error == -EBUSY ? -EEXIST : error;
  return out_made(out, &place, mkdirat(place.fd, place.name, mode & 07777) ? -errno : 0);
}

static int remove_name(struct in *in, int flags) {
  struct place place;
  in_path(in, place.path);
  if (!in_is_over(in)) return -EINVAL;
  int error = open_place(&place);
  if (error) return error;
  error = unlinkat(place.fd, place.name, flags) ? -errno : 0;
  close(place.fd);
  return error;
}

int remove_file(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  return remove_name(in, 0);
}

int remove_directory(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  return remove_name(in, AT_REMOVEDIR);
}

int make_link(struct request *request, struct in *in, struct out *out) {
  (void)request;
  char target[PATH_ROOM];
  struct place place;
  in_text(in, target, sizeof target);
  in_path(in, place.path);
  if (!in_is_over(in)) return -EINVAL;
  int error = open_place(&place);
  if (error) return error == -EBUSY ? -EEXIST : error;
  return out_made(out, &place, symlinkat(target, place.fd, place.name) ? -errno : 0);
}

int add_name(struct request *request, struct in *in, struct out *out) {
  (void)request;
  struct place from, to;
  in_path(in, from.path);
  in_path(in, to.path);
  if (!in_is_over(in)) return -EINVAL;
  int error = open_place(&from);
  if (error) return error == -EBUSY ? -EPERM : error;
  error = open_place(&to);
  if (!error) error = out_made(out, &to, linkat(from.fd, from.name, to.fd, to.name, 0) ? -errno : 0);
  close(from.fd);
  return error;
}

int rename_file(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  struct place from, to;
  in_path(in, from.path);
  in_path(in, to.path);
  uint32_t flags = in_u32(in);
  if (!in_is_over(in) || flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) return -EINVAL;
  int error = open_place(&from);
  if (error) return error;
  error = open_place(&to);
  if (!error) {
    error = syscall(SYS_renameat2, from.fd, from.name, to.fd, to.name, flags) ? -errno : 0;
    close(to.fd);
  }
  close(from.fd);
  return error;
}

int make_node(struct request *request, struct in *in, struct out *out) {
  (void)request;
  struct place place;
  in_path(in, place.path);
  uint32_t mode = in_u32(in);
  if (!in_is_over(in)) return -EINVAL;
  if (!S_ISREG(mode) && !S_ISFIFO(mode)) return -EPERM;
  int error = open_place(&place);
  if (error) return error == -EBUSY ? -EEXIST : error;
  return out_made(out, &place, mknodat(place.fd, place.name, mode & (S_IFMT | 07777), 0) ? -errno : 0);
}

// By the path of our own descriptor, which is followed once and no further: a link is changed itself.
static int open_own(const char *path, char own[32]) {
  int fd = below_open(path);
  if (fd >= 0) snprintf(own, 32, "/proc/self/fd/%d", fd);
  return fd;
}

int set_xattr(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  char path[PATH_ROOM], name[NAME_ROOM], own[32];
  in_path(in, path);
  in_text(in, name, sizeof name);
  uint32_t flags = in_u32(in);
  if (in->is_bad || flags & ~(XATTR_CREATE | XATTR_REPLACE)) return -EINVAL;
  size_t size = in->end - in->at;
  if (size > WORKER_XATTR_LIMIT) return -E2BIG;
  int fd = open_own(path, own);
  if (fd < 0) return fd;
  int error = setxattr(own, name, in->at, size, flags) ? -errno : 0;
  close(fd);
  return error;
}

int remove_xattr(struct request *request, struct in *in, struct out *out) {
  (void)request, (void)out;
  char path[PATH_ROOM], name[NAME_ROOM], own[32];
  in_path(in, path);
  in_text(in, name, sizeof name);
  if (!in_is_over(in)) return -EINVAL;
  int fd = open_own(path, own);
  if (fd < 0) return fd;
  int error = removexattr(own, name) ? -errno : 0;
  close(fd);
  return error;
}

enum {
  SET_MODE = 1,
  SET_UID = 2,
  SET_GID = 4,
  SET_SIZE = 8,
  SET_ATIME = 16,
  SET_MTIME = 32,
  SET_ATIME_NOW = 64,
  SET_MTIME_NOW = 128,
};

struct settings {
  uint32_t mask, mode, uid, gid;
  uint64_t size;
  int64_t atime_ns, mtime_ns;
};

static struct timespec time_of(int64_t nanoseconds, bool is_set, bool is_now) {
  if (is_now) return (struct timespec){.tv_nsec = UTIME_NOW};
  if (!is_set) return (struct timespec){.tv_nsec = UTIME_OMIT};
  int64_t seconds = nanoseconds / 1000000000, rest = nanoseconds % 1000000000;
  if (rest < 0) seconds--, rest += 1000000000;
  return (struct timespec){.tv_sec = seconds, .tv_nsec = rest};
}

static int cut_to(const char *own, uint64_t size, const struct worker_stat *stat) {
  if (S_ISDIR(stat->mode)) return -EISDIR;
  if (!S_ISREG(stat->mode) || size > INT64_MAX) return -EINVAL;
  return truncate(own, size) ? -errno : 0;
}

// In the order in which one takes nothing back of another: chown(2) clears set-user-ID, and cutting changes times.
static int apply(const struct settings *set, const char *own, int fd, bool is_open, const struct worker_stat *stat) {
  uint32_t mask = set->mask;
  if (mask & (SET_UID | SET_GID)) {
    uid_t uid = mask & SET_UID ? set->uid : (uid_t)-1;
    gid_t gid = mask & SET_GID ? set->gid : (gid_t)-1;
    if (fchownat(fd, "", uid, gid, AT_EMPTY_PATH)) return -errno;
  }
  if (mask & SET_SIZE) {
    // An open file's size is changed by what it was opened for, whatever its mode says now.
    int error = !is_open ? cut_to(own, set->size, stat) : set->size > INT64_MAX ? -EINVAL : ftruncate(fd, set->size) ? -errno : 0;
    if (error) return error;
  }
  // Nobody changes the mode of a link (Linux cannot), and by a path it would be refused for another reason.
  if (mask & SET_MODE && S_ISLNK(stat->mode)) return -EOPNOTSUPP;
  if (mask & SET_MODE && (is_open ? fchmod(fd, set->mode & 07777) : chmod(own, set->mode & 07777))) return -errno;
  if (mask & (SET_ATIME | SET_MTIME | SET_ATIME_NOW | SET_MTIME_NOW)) {
    struct timespec times[2] = {time_of(set->atime_ns, mask & SET_ATIME, mask & SET_ATIME_NOW),
                                time_of(set->mtime_ns, mask & SET_MTIME, mask & SET_MTIME_NOW)};
    if (is_open ? futimens(fd, times) : utimensat(AT_FDCWD, own, times, 0)) return -errno;
  }
  return 0;
}

int set_attributes(struct request *request, struct in *in, struct out *out) {
  char path[PATH_ROOM], own[32];
  in_u32(in);
  in_path(in, path);
  struct settings set = {.mask = in_u32(in), .mode = in_u32(in), .uid = in_u32(in), .gid = in_u32(in)};
  set.size = in_u64(in);
  set.atime_ns = in_u64(in);
  set.mtime_ns = in_u64(in);
  if (!in_is_over(in)) return -EINVAL;
  struct handle *handle = request->handles[0];
  if (handle && handle->fd < 0) return -EBADF;
  int fd = handle ? handle->fd : open_own(path, own);
  if (fd < 0) return fd;
  struct worker_stat stat;
  int error = stat_of(fd, &stat);
  if (!error) error = apply(&set, own, fd, handle, &stat);
  if (!error) error = stat_of(fd, &stat);
  if (!handle) close(fd);
  if (!error) out_bytes(out, &stat, sizeof stat);
  return error;
}
