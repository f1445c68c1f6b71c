// A request on its way through the worker.
#pragma once
#include <stdbool.h>
#include "handles.h"
#include "wire.h"
#include "worker.h"

struct watch_pin;
struct watcher;

struct request {
  struct request *next;
  struct worker_header header;
  // Those that it names, held until it is answered. COPY has two.
  struct handle *handles[2];
  // The session's when it came: FORGET begins the next (watching.h).
  uint32_t generation;
  // Directories whose events wait for the answer (watching.h).
  struct watch_pin *pins;
  int error; // known before it is begun
  int64_t came_ms, began_ms;
  // Of FORGET: to be closed.
  struct handle *forgotten;
  struct watcher *watcher;
  size_t body_length;
  uint8_t body[];
};

static inline struct in request_body(const struct request *request) {
  return (struct in){.at = request->body, .end = request->body + request->body_length};
}

// 0 and what belongs into the answer, or -errno.
typedef int operation(struct request *request, struct in *in, struct out *out);

operation look, chain, list, tree, read_link, check_access, stat_filesystem, get_xattr, list_xattr;
operation open_handle, read_handle, stat_handle, seek_handle;
operation write_handle, sync_handle, allocate_handle, copy_handles, lock_handle;
operation set_attributes, make_directory, remove_file, remove_directory, make_link, add_name, rename_file, make_node;
operation set_xattr, remove_xattr;
