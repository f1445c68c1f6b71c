// Leases: directories of which we tell what is done to the names in them (inotify(7)).
//
// A directory's watch sees neither that one above it was moved, so those above are watched for that too; nor what comes
// by another mount or another name of a file, which is told of the file itself (STAT_UNWATCHED). What happens while a
// request that asked for a lease is under way is told behind its answer.
#pragma once
#include <stdbool.h>
#include "request.h"

void watching_begin(void);

// Whether what happens in the directory is told from now on. `path_fd`: an O_PATH descriptor of it.
bool watch(struct request *request, const char *path, int path_fd);
// Whether the last watch() of this request was of that path, and said so.
bool is_watched(const struct request *request, const char *path);
// The request was answered.
void watch_answered(struct request *request);

// The session's leases end, also those that requests before this one are about to get. What is left of them is for
// watcher_close(), which may take a while.
struct watcher *watch_forget(uint16_t session, uint32_t generation);
void watcher_close(struct watcher *watcher);
