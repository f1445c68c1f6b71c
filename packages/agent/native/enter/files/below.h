// Files below the target's root, which no path leaves. Results are -errno on failure.
#pragma once
#include <stdbool.h>
#include <sys/types.h>
#include "wire.h"

// The worker has one root for its life.
void below_begin(int root_fd);

// O_PATH of what the path names; a link at its end is that itself. ESTALE: a link in the middle.
int below_open(const char *path);
// The same of the directory that the path's last name is in. EBUSY for "/", which is in none.
int below_parent(const char *path, const char **name);
// Of the root itself, for who walks on his own.
int below_root(void);

// Opens what an O_PATH descriptor stands for, whatever has been put in its place meanwhile.
int below_reopen(int path_fd, int flags);
// The same, to list a directory, perhaps before any program does: its access time stays, where that can be had (it is the
// target's). ENOTDIR for what is none.
int below_directory(int path_fd);

// Whether the kernel says where something is mounted (Linux 5.8): only then can be told what a watch does not see.
bool mounts_are_seen(void);

int stat_of(int fd, struct worker_stat *stat);
// Of a name in a directory; a link is that itself.
int stat_at(int dir_fd, const char *name, struct worker_stat *stat);

enum filesystem {
  FILESYSTEM_PROC,
  FILESYSTEM_PSEUDO, // files of it have any size; reading some does things
  FILESYSTEM_DISTANT, // changes come from elsewhere too, unseen
  FILESYSTEM_OWN, // every change is made by this kernel
};
enum filesystem filesystem_of(int fd);
