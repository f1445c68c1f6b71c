/*
 * TCP connects that stay on this machine whatever TypeScript would be asked, so that it is not. The table is made by
 * layer/src/rules/destinations.ts: the first entry that matches decides, "local" or "ask".
 */
#include "surface.h"
#include "paths.h"
#include <stdlib.h>
#include <string.h>

/* u8 family (4, 6; 0: any) · u8 prefix length · u8 is local · u8 0 · u16 port (0: any; little-endian) · 16 bytes of address */
enum { ENTRY_BYTES = 22, AT_PORT = 4, AT_ADDRESS = 6 };

static uint8_t *table;
static size_t entries;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

/* 4 or 6, with its bytes; an IPv4-mapped one is IPv4's. */
static uint8_t family_of(const struct sockaddr_storage *address, const uint8_t **bytes) {
  if (address->ss_family == AF_INET) {
    *bytes = (const uint8_t *)&((const struct sockaddr_in *)address)->sin_addr;
    return 4;
  }
  const struct in6_addr *v6 = &((const struct sockaddr_in6 *)address)->sin6_addr;
  bool is_mapped = IN6_IS_ADDR_V4MAPPED(v6);
  *bytes = v6->s6_addr + (is_mapped ? 12 : 0);
  return is_mapped ? 4 : 6;
}

static bool has_prefix(const uint8_t *bytes, const uint8_t *prefix, unsigned length) {
  unsigned whole = length / 8, rest = length % 8;
  if (memcmp(bytes, prefix, whole) != 0) return false;
  return rest == 0 || (bytes[whole] ^ prefix[whole]) >> (8 - rest) == 0;
}

bool destination_is_local(const struct sockaddr_storage *address) {
  const uint8_t *bytes;
  uint8_t family = family_of(address, &bytes);
  uint16_t port = address_port(address);
  bool is_local = false;
  pthread_rwlock_rdlock(&lock);
  for (size_t i = 0; i < entries; i++) {
    const uint8_t *entry = table + i * ENTRY_BYTES;
    unsigned its_port = entry[AT_PORT] | (unsigned)entry[AT_PORT + 1] << 8;
    if (its_port != 0 && its_port != port) continue;
    if (entry[0] != 0 && (entry[0] != family || !has_prefix(bytes, entry + AT_ADDRESS, entry[1]))) continue;
    is_local = entry[2] != 0;
    break;
  }
  pthread_rwlock_unlock(&lock);
  return is_local;
}

/* setDestinations(bytes): replaces the table. */
napi_value set_destinations(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *data;
  size_t length;
  bytes_of(&call, 0, &data, &length);
  uint8_t *next = malloc(length + 1);
  if (!next) abort();
  memcpy(next, data, length);
  pthread_rwlock_wrlock(&lock);
  free(table);
  table = next;
  entries = length / ENTRY_BYTES;
  pthread_rwlock_unlock(&lock);
  return NULL;
}

/* isLocalDestination(sockaddr) -> boolean: for tests against the TypeScript rules. */
napi_value is_local_destination(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct sockaddr_storage address;
  address_of(&call, 0, &address);
  return boolean(env, destination_is_local(&address));
}
