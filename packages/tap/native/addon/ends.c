/* Our ends of the program's connections, made when no call of it is held. */
#include "surface.h"
#include <errno.h>
#include <unistd.h>

/* completePending(userPort, isIPv6Only) -> our connected end's fd, or -errno */
napi_value complete_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, connect_complete((uint16_t)int_of(&call, 0), bool_of(&call, 1)));
}

/* failPending(token, tgid, fd, cookie, userPort, isIPv6Only, errno): the connect, held or not, fails with it. */
napi_value fail_pending(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  verdict_failed(op_claim(token_of(&call)), (pid_t)int_of(&call, 1), int_of(&call, 2), (uint64_t)number_of(&call, 3),
                 (uint16_t)int_of(&call, 4), bool_of(&call, 5), int_of(&call, 6));
  return NULL;
}

/* refuseDatagram(tgid, fd, cookie, relayPort, isIPv6, isIPv6Only): that connected socket's next call says ECONNREFUSED. */
napi_value refuse_datagram(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op socket = {.domain = bool_of(&call, 4) ? AF_INET6 : AF_INET, .v6only = bool_of(&call, 5)};
  int copy = same_socket((pid_t)int_of(&call, 0), int_of(&call, 1), (uint64_t)number_of(&call, 2));
  if (copy < 0) return NULL;
  datagram_refuse(copy, (uint16_t)int_of(&call, 3), &socket);
  close(copy);
  return NULL;
}

/*
 * connectToUser(port, isIPv6, local, peer) -> fd of a connection to the program's listener, or -errno. Its
 * names are set before anybody can ask for them. -EBUSY: an accept is under way there that would not tell them; soon again.
 */
napi_value connect_to_user(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct op target = {.domain = bool_of(&call, 1) ? AF_INET6 : AF_INET, .v6only = bool_of(&call, 1)};
  struct name name;
  address_of(&call, 2, &name.local);
  address_of(&call, 3, &name.peer);
  struct sockaddr_storage to, mine;
  socklen_t length = address_loopback(&target, (uint16_t)int_of(&call, 0), &to);
  int fd = socket(target.domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return number(env, -errno);
  uint16_t listener = address_port(&to);
  if (!accepts_hold(listener)) {
    accepts_release(listener);
    close(fd);
    return number(env, -EBUSY);
  }
  names_lock();
  int error = connect(fd, (struct sockaddr *)&to, length) && errno != EINPROGRESS ? errno : 0;
  length = sizeof mine;
  if (!error && getsockname(fd, (struct sockaddr *)&mine, &length) == 0)
    names_set_locked(NAME_INCOMING, address_port(&mine), listener, &name);
  names_unlock();
  accepts_release(listener);
  if (!error) return number(env, fd);
  close(fd);
  return number(env, -error);
}
