/* What was decided here about paths, for who wants to know: told once for each path. */
#include "paths.h"
#include <string.h>

enum { REMEMBERED = 4096 };

static bool wanted;
/* Hashes, each where its own last bits say: of two that fall together the older one is told again. */
static uint64_t told[REMEMBERED];

void report_want(bool is_wanted) { __atomic_store_n(&wanted, is_wanted, __ATOMIC_RELAXED); }

/* FNV-1a */
static uint64_t hash_of(const char *path, int operation, int what) {
  uint64_t hash = 14695981039346656037u;
  for (const char *at = path; *at; at++) hash = (hash ^ (unsigned char)*at) * 1099511628211u;
  hash = (hash ^ (uint64_t)operation) * 1099511628211u;
  hash = (hash ^ (uint64_t)what) * 1099511628211u;
  return hash ? hash : 1;
}

void report_place(const struct path_work *work, const struct place *place, bool fell_back) {
  if (!__atomic_load_n(&wanted, __ATOMIC_RELAXED) || !place->path) return;
  /* No rule: of what is named from a directory of the pod. */
  if (!(place->rule >= 0 ? place->reported : place->below_remote)) return;
  uint64_t hash = hash_of(place->path, work->operation, place->verdict * 2 + fell_back);
  if (__atomic_exchange_n(&told[hash % REMEMBERED], hash, __ATOMIC_RELAXED) == hash) return;
  emit_decided(work, place, fell_back);
}

void report_work(const struct path_work *work) {
  report_place(work, &work->place, false);
  if (work->second.path) report_place(work, &work->second, false);
}
