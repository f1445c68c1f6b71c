// Leases: directories of which we tell what is done to the names in them.
#pragma once
#include <stdbool.h>
#include "request.h"

// Whether what happens in the directory is told from now on. `path_fd`: an O_PATH descriptor of it.
bool watch(struct request *request, const char *path, int path_fd);
// Whether watch() has said so for this request.
bool is_watched(const struct request *request, const char *path);
