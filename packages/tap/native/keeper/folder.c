#define _GNU_SOURCE
#include "folder.h"
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OPEN_DIRECTORIES = 16 };

static int remove_one(const char *path, const struct stat *stat, int kind, struct FTW *where) {
  (void)stat, (void)where;
  if (kind == FTW_DP || kind == FTW_DNR) rmdir(path);
  else unlink(path);
  return 0; /* one that cannot be removed is no reason to leave the others */
}

/* inpod lets its user into every directory that it makes there. */
void folder_remove(const char *path) { nftw(path, remove_one, OPEN_DIRECTORIES, FTW_DEPTH | FTW_PHYS | FTW_MOUNT); }
