// Directories that were listed in part, kept open for who goes on: some filesystems would begin anew each time.
#pragma once
#include <stdint.h>
#include "request.h"
#include "worker.h"

// The descriptor, now the caller's, or -ENOENT. `stat`: of what the path names now.
int cursor_take(const struct request *request, const char *path, uint64_t cookie, const struct worker_stat *stat);
// Takes the descriptor over.
void cursor_keep(const struct request *request, const char *path, uint64_t cookie, const struct worker_stat *stat,
                 int fd);
void cursors_forget(uint16_t session);
