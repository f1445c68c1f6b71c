#include "watching.h"

bool watch(struct request *request, const char *path, int path_fd) {
  (void)request, (void)path, (void)path_fd;
  return false;
}

bool is_watched(const struct request *request, const char *path) {
  (void)request, (void)path;
  return false;
}
