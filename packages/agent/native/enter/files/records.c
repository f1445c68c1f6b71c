#define _GNU_SOURCE
#include "records.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../clock.h"
#include "below.h"
#include "content.h"

// A directory on a slow filesystem is answered in parts, each well before Node and its asker give up.
enum { LONGEST_MS = 3000 };

struct dirent64_raw {
  uint64_t ino, off;
  uint16_t length;
  uint8_t type;
  char name[];
} __attribute__((packed));

void records_begin(struct records *records, struct out *out, uint32_t entries, uint32_t bytes) {
  if (bytes < WORKER_RECORDS_LEAST) bytes = WORKER_RECORDS_LEAST;
  if (bytes > WORKER_RECORDS_LIMIT) bytes = WORKER_RECORDS_LIMIT;
  *records = (struct records){
      .out = out,
      .most = out->length + bytes,
      .most_with_content = out->length + bytes / 4 * 3,
      .entries_left = entries ? entries : 1,
      .deadline = now_ms() + LONGEST_MS,
  };
}

bool records_are_full(const struct records *records) {
  return records->out->is_lost || !records->entries_left || records->out->length >= records->most ||
         !ms_until(records->deadline);
}

void out_record(struct out *out, enum record_kind kind, const char *path, const struct worker_stat *stat) {
  out_u8(out, kind);
  out_text(out, path, strlen(path));
  if (stat) out_bytes(out, stat, sizeof *stat);
}

// Of a name that may not be looked at: the directory can be read, and not searched.
static struct worker_stat unknown(const struct dirent64_raw *entry) {
  return (struct worker_stat){
      .mode = (uint32_t)entry->type << 12, .flags = STAT_UNKNOWN | STAT_UNWATCHED, .ino = entry->ino};
}

static bool has_room_for_content(const struct records *records, const char *name, const struct worker_stat *stat) {
  return S_ISREG(stat->mode) && records->inline_limit && stat->size <= records->inline_limit &&
         records->out->length + sizeof *stat + stat->size <= records->most_with_content &&
         !(records->without && !strcmp(records->without, name));
}

static void out_with_content(struct records *records, int dir_fd, const char *name, struct worker_stat *stat) {
  int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0 && !stat_of(fd, stat)) {
    // Something of another filesystem may be mounted here.
    bool is_foreign = stat->flags & STAT_UNWATCHED && filesystem_of(fd) <= FILESYSTEM_PSEUDO;
    out_file(records->out, fd, stat, is_foreign ? 0 : records->inline_limit);
  } else {
    out_name(records->out, dir_fd, name, stat);
  }
  if (fd >= 0) close(fd);
}

// False: it would go beyond the limit, and is not there.
static bool out_entry(struct records *records, int dir_fd, const char *prefix, const struct dirent64_raw *entry,
                      bool has_contents) {
  struct out *out = records->out;
  struct worker_stat stat;
  int error = stat_at(dir_fd, entry->name, &stat);
  // Removed since its name was read.
  if (error == -ENOENT) return true;
  size_t before = out->length, prefix_length = strlen(prefix), name_length = strlen(entry->name);
  uint16_t length = prefix_length + name_length;
  out_u8(out, RECORD_ENTRY);
  out_bytes(out, &length, sizeof length);
  out_bytes(out, prefix, prefix_length);
  out_bytes(out, entry->name, name_length);
  if (error) {
    stat = unknown(entry);
    out_bytes(out, &stat, sizeof stat);
    out_u32(out, UINT32_MAX);
  } else if (has_contents && has_room_for_content(records, entry->name, &stat)) {
    out_with_content(records, dir_fd, entry->name, &stat);
  } else {
    out_name(out, dir_fd, entry->name, &stat);
  }
  if (out->length <= records->most) return true;
  out_cut(out, before);
  return false;
}

bool out_directory(struct records *records, int dir_fd, const char *prefix, uint64_t *cookie) {
  _Alignas(8) char buffer[32 << 10];
  bool has_contents = records->inline_limit && filesystem_of(dir_fd) > FILESYSTEM_PSEUDO;
  size_t prefix_length = strlen(prefix);
  for (;;) {
    ssize_t got = syscall(SYS_getdents64, dir_fd, buffer, sizeof buffer);
    // EINVAL, ENOENT: it was removed meanwhile, and has no more names.
    if (got <= 0) return true;
    for (ssize_t at = 0; at < got;) {
      const struct dirent64_raw *entry = (const void *)(buffer + at);
      at += entry->length;
      bool is_itself = !strcmp(entry->name, ".") || !strcmp(entry->name, "..");
      // Deeper than a path can say: whoever wants it goes there by directories, and finds ENAMETOOLONG.
      if (!is_itself && prefix_length + strlen(entry->name) <= WORKER_PATH_LIMIT) {
        if (records_are_full(records) || !out_entry(records, dir_fd, prefix, entry, has_contents)) return false;
        records->entries_left--;
      }
      *cookie = entry->off;
    }
  }
}
