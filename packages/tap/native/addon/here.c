/*
 * Where on loopback somebody of this machine was seen to take datagrams: what is sent there within a second is not asked about.
 * Who sends metrics does so thousands of times. Whoever leaves his port meanwhile loses what is sent to it, as UDP does.
 */
#include "tap.h"
#include <string.h>

enum { KNOWN = 16 };
static const int64_t LIFE_NS = 1000000000;

static struct {
  struct sockaddr_storage to;
  int64_t until_ns;
} known[KNOWN];
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static bool is_same(const struct sockaddr_storage *one, const struct sockaddr_storage *other) {
  if (one->ss_family != other->ss_family || address_port(one) != address_port(other)) return false;
  if (one->ss_family == AF_INET)
    return ((const struct sockaddr_in *)one)->sin_addr.s_addr == ((const struct sockaddr_in *)other)->sin_addr.s_addr;
  return memcmp(&((const struct sockaddr_in6 *)one)->sin6_addr, &((const struct sockaddr_in6 *)other)->sin6_addr,
                sizeof(struct in6_addr)) == 0;
}

void here_remember(const struct sockaddr_storage *to) {
  int64_t now = now_ns();
  pthread_mutex_lock(&mutex);
  int oldest = 0, at = -1;
  for (int i = 0; i < KNOWN && at < 0; i++) {
    if (is_same(&known[i].to, to)) at = i;
    else if (known[i].until_ns < known[oldest].until_ns) oldest = i;
  }
  if (at < 0) at = oldest;
  known[at].to = *to;
  known[at].until_ns = now + LIFE_NS;
  pthread_mutex_unlock(&mutex);
}

bool here_is_known(const struct sockaddr_storage *to) {
  int64_t now = now_ns();
  bool found = false;
  pthread_mutex_lock(&mutex);
  for (int i = 0; i < KNOWN && !found; i++) found = known[i].until_ns > now && is_same(&known[i].to, to);
  pthread_mutex_unlock(&mutex);
  return found;
}
