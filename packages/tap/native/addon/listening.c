/*
 * Who listens in this network namespace, as sock_diag(7) tells it. /proc/net/tcp names the same sockets first, but goes through
 * all that may be connected, too: milliseconds, on a large machine tens of them, however few there are.
 */
#include "surface.h"
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <unistd.h>

/* One answer of many is a page, or two. */
enum { ANSWER_BYTES = 32 * 1024 };

static int ask(int fd, int family) {
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } question = {
      .header = {.nlmsg_len = sizeof question, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
      .request = {.sdiag_family = (uint8_t)family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = 1 << TCP_LISTEN},
  };
  return send(fd, &question, sizeof question, 0) == sizeof question ? 0 : -errno;
}

/* 1: there is more to come, 0: that was all, or -errno. */
static int take(napi_env env, napi_value ports, uint32_t *count, const struct nlmsghdr *message, ssize_t length) {
  for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
    if (message->nlmsg_flags & NLM_F_DUMP_INTR) return -EINTR;
    if (message->nlmsg_type == NLMSG_DONE) return 0;
    if (message->nlmsg_type == NLMSG_ERROR) return ((const struct nlmsgerr *)NLMSG_DATA(message))->error ?: -EPROTO;
    if (message->nlmsg_type != SOCK_DIAG_BY_FAMILY) continue;
    const struct inet_diag_msg *socket = NLMSG_DATA(message);
    napi_set_element(env, ports, (*count)++, number(env, ntohs(socket->id.idiag_sport)));
  }
  return 1;
}

static int list(napi_env env, napi_value ports, int fd, int family) {
  static _Alignas(struct nlmsghdr) char answer[ANSWER_BYTES]; /* JavaScript's thread only */
  uint32_t count = 0;
  int more = ask(fd, family);
  if (more < 0) return more;
  do {
    /* The kernel has it ready when it is asked, each part when the one before is read. */
    ssize_t length = recv(fd, answer, sizeof answer, MSG_DONTWAIT);
    if (length <= 0) return length < 0 ? -errno : -EPROTO;
    more = take(env, ports, &count, (const struct nlmsghdr *)answer, length);
  } while (more > 0);
  return more;
}

/* listeningPorts(isIPv6) -> ports of TCP, some more than once, or -errno where the kernel does not tell. */
napi_value listening_ports(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  napi_value ports;
  napi_create_array(env, &ports);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return number(env, -errno);
  int failed = list(env, ports, fd, bool_of(&call, 0) ? AF_INET6 : AF_INET);
  close(fd);
  return failed ? number(env, failed) : ports;
}
