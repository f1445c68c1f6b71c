/*
 * inpod-routes facts
 * inpod-routes restore DIRECTORY PATH
 * inpod-routes remove LINK
 * inpod-routes probe
 * inpod-routes hold CIDR… (fd 0 and 1: frames, frames.h; fd 3: a socket for descriptors)
 *
 * "hold" makes a network namespace of its own, a pair of links between the machine and it, and routes for the
 * subnets on the machine. What goes there ends in sockets inside: those of TCP are handed to the CLI, those of UDP are
 * served here. All of it is gone with this process: it deletes the link when stdin is closed, and if it is killed, the
 * kernel deletes it with the namespace. A file that the CLI has told of is restored when the CLI dies.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "datagrams.h"
#include "frames.h"
#include "lookup.h"
#include "netlink.h"
#include "restore.h"

enum { DESCRIPTORS = 3, BACKLOG = 4096, MOST_LINKS = 63 };

static int fail(const char *step, int error) {
  fprintf(stderr, "%d %s\n", error < 0 ? -error : error, step);
  return 1;
}

static void set(const char *path, const char *value) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return; /* no IPv6, or an older kernel */
  if (write(fd, value, strlen(value)) < 0) {}
  close(fd);
}

/* What the cluster does not answer, nobody does: an address here is every address. */
static void quiet(void) {
  set("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
  set("/proc/sys/net/ipv6/icmp/echo_ignore_all", "1");
  /* Sockets whose process is gone hold the namespace no longer than they must. */
  set("/proc/sys/net/ipv4/tcp_orphan_retries", "1");
}

struct ends_of_link {
  struct subnet outer, inner;
};

struct held {
  int machine; /* netlink */
  int index;   /* of the machine's link */
  char name[IF_NAMESIZE];
  struct ends_of_link v4, v6;
  bool has_v6;
  int sockets[SOCKETS];
  char directory[PATH_MAX], path[PATH_MAX]; /* to be restored */
};

/*
 * Of each pair of links its own: 169.254.61.0/24 is link-local, so that no cluster and no route has it, and the ULA
 * prefix's random part (RFC 4193) is "inpod" in ASCII.
 */
static void choose_addresses(struct held *held, int number) {
  held->v4.outer = (struct subnet){.family = AF_INET, .bytes = {169, 254, 61, (uint8_t)(4 * number + 1)}, .length = 30};
  held->v6.outer = (struct subnet){
      .family = AF_INET6, .bytes = {0xfd, 'i', 'n', 'p', 'o', 'd', 0, (uint8_t)number, [15] = 1}, .length = 64};
  held->v4.inner = held->v4.outer;
  held->v6.inner = held->v6.outer;
  held->v4.inner.bytes[3]++;
  held->v6.inner.bytes[15]++;
}

static int connect_namespaces(struct held *held, int namespace) {
  int error = -EEXIST, number = 0;
  for (; number < MOST_LINKS && error == -EEXIST; number++) {
    snprintf(held->name, sizeof held->name, "inpod%d", number);
    choose_addresses(held, number);
    error = link_add_pair(held->machine, held->name, "machine", namespace);
  }
  return error;
}

static int set_up_end(int netlink, int index, const struct subnet *v4, const struct subnet *v6) {
  int error = address_add(netlink, index, v4);
  if (!error && v6) error = address_add(netlink, index, v6);
  return error ? error : link_up(netlink, index);
}

/* `index` of the machine's link is known by name in the machine's namespace only. */
static int set_up_links(struct held *held, int inside, int machine_namespace, int namespace, const char **step) {
  *step = "a pair of links (veth)";
  int error = connect_namespaces(held, namespace);
  if (error) return error;
  *step = "a look at the new link";
  if (setns(machine_namespace, CLONE_NEWNET)) return -errno;
  held->index = (int)if_nametoindex(held->name);
  if (setns(namespace, CLONE_NEWNET)) return -errno;
  if (!held->index) return -ENODEV;
  int peer = (int)if_nametoindex("machine"), loopback = (int)if_nametoindex("lo");
  *step = "addresses of the links";
  error = set_up_end(held->machine, held->index, &held->v4.outer, held->has_v6 ? &held->v6.outer : NULL);
  if (!error) error = set_up_end(inside, peer, &held->v4.inner, held->has_v6 ? &held->v6.inner : NULL);
  if (!error) error = link_up(inside, loopback);
  *step = "the way back";
  const struct subnet all_4 = {.family = AF_INET}, all_6 = {.family = AF_INET6};
  if (!error) error = route_add(inside, peer, &all_4, &held->v4.outer, NULL);
  if (!error && held->has_v6) error = route_add(inside, peer, &all_6, &held->v6.outer, NULL);
  return error;
}

static int listening(int family) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
  if (fd < 0) return -errno;
  if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (!listen(fd, BACKLOG)) return fd; /* bound to a free port by this */
  int error = -errno;
  close(fd);
  return error;
}

static int open_sockets(struct held *held) {
  for (int each = 0; each < SOCKETS; each++) held->sockets[each] = -1;
  int error = held->sockets[TCP_4] = listening(AF_INET);
  if (error >= 0) error = held->sockets[UDP_4] = datagrams_open(AF_INET);
  if (error >= 0 && held->has_v6) error = held->sockets[TCP_6] = listening(AF_INET6);
  if (error >= 0 && held->has_v6) error = held->sockets[UDP_6] = datagrams_open(AF_INET6);
  return error < 0 ? error : 0;
}

static int hand_over(const struct held *held) {
  int fds[2] = {held->sockets[TCP_4], held->sockets[TCP_6]};
  size_t count = held->has_v6 ? 2 : 1;
  union {
    struct cmsghdr head;
    uint8_t space[CMSG_SPACE(sizeof fds)];
  } control = {0};
  char byte = 'd';
  struct iovec io = {&byte, 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int))};
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(count * sizeof(int));
  memcpy(CMSG_DATA(head), fds, count * sizeof(int));
  if (sendmsg(DESCRIPTORS, &message, MSG_NOSIGNAL) != 1) return -errno;
  close(DESCRIPTORS);
  for (size_t each = 0; each < count; each++) close(fds[each]); /* the CLI's alone: it accepts */
  return 0;
}

static int add_routes(struct held *held, int inside, char **subnets, char *step, size_t size) {
  int loopback = (int)if_nametoindex("lo");
  for (char **each = subnets; *each; each++) {
    struct subnet subnet;
    snprintf(step, size, "a route to %s", *each);
    if (!subnet_parse(*each, &subnet)) return -EINVAL;
    const struct ends_of_link *ends = subnet.family == AF_INET6 ? &held->v6 : &held->v4;
    int error = route_add(inside, loopback, &subnet, NULL, NULL);
    if (!error) error = route_add(held->machine, held->index, &subnet, &ends->inner, &ends->outer);
    if (error) return error;
  }
  return 0;
}

static void guard(struct held *held, const uint8_t *text, size_t length) {
  const char *directory = (const char *)text;
  size_t first = strnlen(directory, length);
  if (first + 1 >= length || text[length - 1] != 0) return;
  snprintf(held->directory, sizeof held->directory, "%s", directory);
  snprintf(held->path, sizeof held->path, "%s", directory + first + 1);
}

static void take(struct held *held, const uint8_t *frame, size_t length) {
  const struct ends *ends = (const struct ends *)(frame + 1);
  size_t head = 1 + sizeof *ends;
  if (frame[0] == FRAME_GUARD) guard(held, frame + 1, length - 1);
  else if (length < head) return;
  else if (frame[0] == FRAME_DATAGRAM) datagrams_answer(ends, frame + head, length - head);
  else if (frame[0] == FRAME_UNREACHABLE) datagrams_refuse(ends);
}

static volatile sig_atomic_t is_told_to_end;
static void end(int signal) {
  (void)signal;
  is_told_to_end = 1;
}

/* Until the CLI has closed its end, or a signal. While it does not read, datagrams are lost by the kernel. */
static void serve(struct held *held, struct outbox *outbox) {
  static struct inbox inbox;
  static uint8_t payload[MAX_FRAME - sizeof(struct ends) - 1];
  for (;;) {
    short wants = outbox_is_empty(outbox) ? POLLIN : 0;
    struct pollfd polled[] = {
        {.fd = STDIN_FILENO, .events = POLLIN},
        {.fd = wants ? -1 : STDOUT_FILENO, .events = POLLOUT},
        {.fd = wants ? held->sockets[UDP_4] : -1, .events = POLLIN},
        {.fd = wants ? held->sockets[UDP_6] : -1, .events = POLLIN},
    };
    if (is_told_to_end || (poll(polled, 4, -1) < 0 && errno != EINTR)) return;
    if (polled[0].revents) {
      if (inbox_read(&inbox, STDIN_FILENO) < 0) return;
      const uint8_t *frame;
      ssize_t length;
      while ((length = inbox_next(&inbox, &frame)) > 0) {
        take(held, frame, (size_t)length);
        inbox_drop(&inbox, (size_t)length);
      }
      if (length < 0) return;
    }
    for (int each = 2; each < 4 && outbox_is_empty(outbox); each++) {
      if (!(polled[each].revents & POLLIN)) continue;
      struct ends ends;
      ssize_t got = datagrams_receive(polled[each].fd, &ends, payload, sizeof payload);
      if (got >= 0) outbox_put(outbox, FRAME_DATAGRAM, &ends, sizeof ends, payload, (size_t)got);
    }
    if (!outbox_flush(outbox, STDOUT_FILENO)) return;
  }
}

static void say_ready(const struct held *held, struct outbox *outbox) {
  char text[256], address[4][INET6_ADDRSTRLEN];
  inet_ntop(AF_INET, held->v4.outer.bytes, address[0], sizeof *address);
  inet_ntop(AF_INET, held->v4.inner.bytes, address[1], sizeof *address);
  inet_ntop(AF_INET6, held->v6.outer.bytes, address[2], sizeof *address);
  inet_ntop(AF_INET6, held->v6.inner.bytes, address[3], sizeof *address);
  int length = snprintf(text, sizeof text, "%s %s %s %s %s %d", held->name, address[0], address[1],
                        held->has_v6 ? address[2] : "-", held->has_v6 ? address[3] : "-", held->index);
  outbox_put(outbox, FRAME_READY, text, (size_t)length, NULL, 0);
}

static void on_signals(void) {
  struct sigaction ending = {.sa_handler = end}; /* without SA_RESTART: poll returns */
  sigaction(SIGTERM, &ending, NULL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN); /* the CLI's to act upon */
}

/* `is_probe`: all is made, and gone again, in a network namespace in which nothing else is. */
static int hold(char **subnets, bool is_probe) {
  static struct held held;
  static struct outbox outbox;
  on_signals();
  if (is_probe && unshare(CLONE_NEWNET)) return fail("a network namespace", errno);
  for (char **each = subnets; *each; each++) held.has_v6 |= strchr(*each, ':') != NULL;
  char route[128];
  const char *step = "a look at the machine's network namespace";
  int machine_namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  held.machine = netlink_open();
  if (machine_namespace < 0 || held.machine < 0) return fail(step, machine_namespace < 0 ? errno : held.machine);
  if (unshare(CLONE_NEWNET)) return fail("a network namespace", errno);
  int namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), inside = netlink_open();
  if (namespace < 0 || inside < 0) return fail(step, namespace < 0 ? errno : inside);
  quiet();
  int error = set_up_links(&held, inside, machine_namespace, namespace, &step);
  if (!error) {
    step = "sockets";
    error = open_sockets(&held);
  }
  if (!error) {
    error = lookup_attach(held.sockets, namespace, &step);
    if (error > 0) error = 0; /* the link's descriptor stays open as long as we live */
  }
  if (!error) {
    error = add_routes(&held, inside, subnets, route, sizeof route);
    step = error ? route : step;
  }
  if (!error && !is_probe) {
    step = "handing over the sockets";
    error = hand_over(&held);
  }
  if (!error && !is_probe) {
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK);
    say_ready(&held, &outbox);
    if (outbox_flush(&outbox, STDOUT_FILENO)) serve(&held, &outbox);
  }
  const char *done;
  if (held.directory[0]) restore(held.directory, held.path, &done);
  /* With what was accepted inside the CLI may hold the namespace, and with it the link, for a while. */
  if (held.index) link_delete(held.machine, held.index);
  return error ? fail(step, error) : 0;
}

static int remove_link(const char *name) {
  int index = strncmp(name, "inpod", 5) ? 0 : (int)if_nametoindex(name);
  int netlink = netlink_open();
  int error = index ? link_delete(netlink, index) : -ENODEV;
  return error ? fail(name, error) : 0;
}

int main(int argc, char **argv) {
  const char *wish = argc > 1 ? argv[1] : "";
  if (argc == 2 && !strcmp(wish, "facts")) {
    int netlink = netlink_open();
    int error = netlink < 0 ? netlink : facts_print(netlink);
    return error ? fail("a list of routes", error) : 0;
  }
  if (argc == 4 && !strcmp(wish, "restore")) {
    const char *done;
    int error = restore(argv[2], argv[3], &done);
    return error ? fail(argv[3], error) : puts(done) < 0;
  }
  if (argc > 2 && !strcmp(wish, "hold")) return hold(argv + 2, false);
  if (argc == 2 && !strcmp(wish, "probe")) return hold(argv + 2, true);
  if (argc == 3 && !strcmp(wish, "remove")) return remove_link(argv[2]);
  return 2;
}
