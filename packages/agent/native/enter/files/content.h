// Attributes and what belongs to them, as LOOK and the records have them.
#pragma once
#include <stdbool.h>
#include "below.h"
#include "wire.h"

// struct worker_stat · u32 length, all ones for none · the content of a regular file of at most `limit` bytes, or a
// link's target, if its time stays. Of what an O_PATH descriptor stands for; `stat` is what stat_of() said of it. No content
// where sizes say nothing (FILESYSTEM_PSEUDO): there, `limit` is to be 0.
void out_file(struct out *out, int path_fd, const struct worker_stat *stat, uint32_t limit);
// The same without any content, but a link's target: `dir_fd` and `name` are where it is.
void out_name(struct out *out, int dir_fd, const char *name, const struct worker_stat *stat);
