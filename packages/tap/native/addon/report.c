/* What was decided here, for who wants to know: once for each path, or every call with what became of it. */
#include "paths.h"
#include <string.h>

enum { REMEMBERED = 4096 };

static enum report_level wanted;
/* Hashes, each where its own last bits say: of two that fall together the older one is told again. */
static uint64_t told[REMEMBERED];

void report_want(enum report_level level) { __atomic_store_n(&wanted, level, __ATOMIC_RELAXED); }

static bool is_wanted(enum report_level level) { return __atomic_load_n(&wanted, __ATOMIC_RELAXED) == level; }

bool report_is_wanted(void) { return !is_wanted(REPORT_NOTHING); }

/* FNV-1a */
static uint64_t hash_of(const char *path, int operation, int what) {
  uint64_t hash = 14695981039346656037u;
  for (const char *at = path; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211u;
  hash = (hash ^ (uint64_t)operation) * 1099511628211u;
  hash = (hash ^ (uint64_t)what) * 1099511628211u;
  return hash ? hash : 1;
}

void report_place(const struct path_work *work, const struct place *place, bool fell_back) {
  if (!is_wanted(REPORT_NEWS) || !place->path) return;
  /* No rule: of what is named from a directory of the pod. */
  if (!(place->rule >= 0 ? place->reported : place->below_remote)) return;
  uint64_t hash = hash_of(place->path, work->operation, place->verdict * 2 + fell_back);
  if (__atomic_exchange_n(&told[hash % REMEMBERED], hash, __ATOMIC_RELAXED) == hash) return;
  emit_decided(work, place, fell_back, RESULT_UNKNOWN);
}

void report_began(struct path_work *work) {
  if (is_wanted(REPORT_ALL)) work->began_ns = now_ns();
}

void report_outcome(const struct path_work *work, bool fell_back, int result) {
  if (!is_wanted(REPORT_ALL)) return;
  if (work->place.path) emit_decided(work, &work->place, fell_back, result);
  if (work->second.path) emit_decided(work, &work->second, fell_back, result);
}

void report_connect(const struct op *op, int result) {
  if (is_wanted(REPORT_ALL)) emit_connect_decided(op, result);
}

void report_work(const struct path_work *work) {
  report_place(work, &work->place, false);
  if (work->second.path) report_place(work, &work->second, false);
}
