// Records of many files, in one answer of bounded size and time.
//   record: u8 kind · path · of all but NEGATIVE a struct worker_stat · of ENTRY the content (content.h)
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "wire.h"
#include "worker.h"

enum record_kind { RECORD_ENTRY = 1, RECORD_NEGATIVE = 2, RECORD_LISTED = 3, RECORD_CUT = 4 };

struct records {
  struct out *out;
  size_t most; // length of `out` that no entry goes beyond
  size_t most_with_content; // contents leave some of it to names
  uint32_t entries_left;
  uint32_t inline_limit; // of contents; 0: none
  const char *without; // whose content is there already; NULL: nobody's
  int64_t deadline;
};

void records_begin(struct records *records, struct out *out, uint32_t entries, uint32_t bytes);
// More would be beyond what was asked for, or come too late.
bool records_are_full(const struct records *records);

void out_record(struct out *out, enum record_kind kind, const char *path, const struct worker_stat *stat);

// The names of a directory from `cookie` on, each with `prefix` before it and its attributes; afterwards `cookie` is
// where the next one would be. Whether the end was reached.
bool out_directory(struct records *records, int dir_fd, const char *prefix, uint64_t *cookie);
