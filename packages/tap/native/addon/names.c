/* What the user's sockets are really connected to: getsockname, getpeername and accept tell this. */
#include "tap.h"
#include <stdlib.h>
#include <string.h>

enum { PORTS = 65536, COOKIES = 16384, PROBES = 16 };

struct named {
  struct name name;
  uint16_t other;
  bool waits; /* of the pod's connections: it has not been accepted, as far as is known */
  uint64_t number; /* of all that were ever set */
  struct named *next;
};
static struct named *tables[3][PORTS];
static uint64_t numbers;
static size_t named_count;
static bool has_unix_peers;
static unsigned waiting[PORTS];
static pthread_rwlock_t names_rwlock = PTHREAD_RWLOCK_INITIALIZER;

void names_lock(void) { pthread_rwlock_wrlock(&names_rwlock); }
void names_unlock(void) { pthread_rwlock_unlock(&names_rwlock); }

static struct named *named_locked(enum name_table table, uint16_t port, uint16_t other) {
  struct named *named = tables[table][port];
  while (named && named->other != other) named = named->next;
  return named;
}

void names_set_locked(enum name_table table, uint16_t port, uint16_t other, const struct name *name) {
  struct named *named = named_locked(table, port, other);
  if (!named) {
    named = malloc(sizeof *named);
    if (!named) return;
    *named = (struct named){.other = other, .next = tables[table][port]};
    tables[table][port] = named;
    named_count++;
  }
  if (table == NAME_INCOMING && !named->waits) waiting[other]++;
  named->waits = table == NAME_INCOMING;
  named->name = *name;
  named->number = ++numbers;
}

uint64_t names_number(enum name_table table, uint16_t port, uint16_t other) {
  pthread_rwlock_rdlock(&names_rwlock);
  struct named *named = named_locked(table, port, other);
  uint64_t number = named ? named->number : 0;
  pthread_rwlock_unlock(&names_rwlock);
  return number;
}

void names_forget(enum name_table table, uint16_t port, uint64_t number) {
  names_lock();
  struct named **link = &tables[table][port], *found;
  while (*link && (*link)->number != number) link = &(*link)->next;
  if ((found = *link)) {
    *link = found->next;
    named_count--;
    if (found->waits) waiting[found->other]--;
    free(found);
  }
  names_unlock();
}

bool names_have_peers(void) {
  pthread_rwlock_rdlock(&names_rwlock);
  bool have = named_count > 0;
  pthread_rwlock_unlock(&names_rwlock);
  return have || __atomic_load_n(&has_unix_peers, __ATOMIC_RELAXED);
}

bool names_have_peer(uint16_t port) {
  pthread_rwlock_rdlock(&names_rwlock);
  bool have = tables[NAME_INCOMING][port] || tables[NAME_UDP][port];
  pthread_rwlock_unlock(&names_rwlock);
  return have;
}

bool names_wait_at(uint16_t listener) {
  pthread_rwlock_rdlock(&names_rwlock);
  bool wait = waiting[listener] > 0;
  pthread_rwlock_unlock(&names_rwlock);
  return wait;
}

bool names_take(uint16_t port, uint16_t listener, struct name *into) {
  names_lock();
  struct named *named = named_locked(NAME_INCOMING, port, listener);
  if (named) *into = named->name;
  if (named && named->waits) waiting[listener]--;
  if (named) named->waits = false;
  names_unlock();
  return named != NULL;
}

bool names_get(enum name_table table, uint16_t port, uint16_t other, struct name *into) {
  pthread_rwlock_rdlock(&names_rwlock);
  struct named *named = named_locked(table, port, other);
  if (named) *into = named->name;
  pthread_rwlock_unlock(&names_rwlock);
  return named != NULL;
}

/*
 * Sockets are known by SO_COOKIE, which survives dup, fork and SCM_RIGHTS and is never given out twice.
 * Closing is not seen, so the table forgets: of the PROBES places of a cookie the oldest is taken.
 */
struct place {
  struct cookie_entry entry;
  uint64_t age;
};
static struct place places[COOKIES];
static uint64_t ages;
static pthread_rwlock_t cookies_rwlock = PTHREAD_RWLOCK_INITIALIZER;

static struct place *find_locked(uint64_t cookie, bool make) {
  struct place *oldest = NULL;
  uint64_t hash = cookie * 0x9e3779b97f4a7c15u >> 40;
  for (unsigned i = 0; i < PROBES; i++) {
    struct place *place = &places[(hash + i) % COOKIES];
    if (place->entry.cookie == cookie && place->age) return place;
    /* A listener lives long; it is not forgotten for a thousand look-ups of names. */
    if (!oldest || (oldest->entry.bound && !place->entry.bound) ||
        (oldest->entry.bound == place->entry.bound && place->age < oldest->age))
      oldest = place;
  }
  return make ? oldest : NULL;
}

static bool has_datagrams, has_listeners;
bool cookies_have_listeners(void) { return __atomic_load_n(&has_listeners, __ATOMIC_RELAXED); }
bool cookies_have_datagrams(void) { return __atomic_load_n(&has_datagrams, __ATOMIC_RELAXED); }

void cookie_update(uint64_t cookie, const struct cookie_entry *entry) {
  if (entry->is_unix) __atomic_store_n(&has_unix_peers, true, __ATOMIC_RELAXED);
  if (entry->udp) __atomic_store_n(&has_datagrams, true, __ATOMIC_RELAXED);
  if (entry->bound && !entry->udp) __atomic_store_n(&has_listeners, true, __ATOMIC_RELAXED);
  pthread_rwlock_wrlock(&cookies_rwlock);
  struct place *place = find_locked(cookie, true);
  place->entry = *entry;
  place->entry.cookie = cookie;
  place->age = ++ages;
  pthread_rwlock_unlock(&cookies_rwlock);
}

bool cookie_get(uint64_t cookie, struct cookie_entry *into) {
  pthread_rwlock_rdlock(&cookies_rwlock);
  struct place *place = find_locked(cookie, false);
  if (place) *into = place->entry;
  pthread_rwlock_unlock(&cookies_rwlock);
  return place != NULL;
}

void cookie_settle(uint64_t cookie) {
  pthread_rwlock_wrlock(&cookies_rwlock);
  struct place *place = find_locked(cookie, false);
  if (place && place->entry.bound) {
    place->entry.pending = place->entry.failed = false;
    place->entry.error = 0;
  } else if (place) {
    memset(place, 0, sizeof *place);
  }
  pthread_rwlock_unlock(&cookies_rwlock);
}

void cookie_forget(uint64_t cookie) {
  pthread_rwlock_wrlock(&cookies_rwlock);
  struct place *place = find_locked(cookie, false);
  if (place) memset(place, 0, sizeof *place);
  pthread_rwlock_unlock(&cookies_rwlock);
}
