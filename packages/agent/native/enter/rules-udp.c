#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "claim.h"
#include "rules.h"

enum { COMMANDS_LIMIT = 4096 };

// The port is rewritten in each datagram and in each answer, without connection tracking: what it knows of a flow from
// before (where something else in the pod translates addresses it does) would keep the flow where it is as long as
// datagrams come, at the start as at the end; and after a kill -9 it would go on sending them to a relay that is no
// more. Without it a flow follows the rules at once, whatever ended them.
//
// Clients' datagrams: after what a mesh redirects (iptables' -100) and before the kernel looks for a socket that is
// connected to the client (early demultiplexing, right behind prerouting). Answers: before connection tracking (-200),
// to which they are the pod's. Of the pod's own clients both on their way out, where they are known from Node's.
// A datagram over IPv4 may go without a checksum (RFC 768), and must be left without.
#define TO_RELAY "udp dport set udp dport map @udp_stolen"
static int add_chains(struct rules *rules, char *detail, size_t size) {
  char commands[COMMANDS_LIMIT], except_node[48] = "";
  if (rules->node_gid >= 0) snprintf(except_node, sizeof except_node, "meta skgid != %u ", (unsigned)rules->node_gid);
  snprintf(commands, sizeof commands,
           "add map inet %1$s udp_stolen { type inet_service : inet_service; }; "
           "add map inet %1$s udp_answers { type inet_service : inet_service; }; "
           "add set inet %1$s udp_relays { type inet_service; }; "
           "add chain inet %1$s udp_pre { type filter hook prerouting priority dstnat + 5; }; "
           "add chain inet %1$s udp_answer { type filter hook output priority raw; }; "
           "add chain inet %1$s udp_out { type filter hook output priority -95; }; "
           "add rule inet %1$s udp_pre iif != lo udp dport @udp_relays drop; "
           "add rule inet %1$s udp_pre iif != lo fib daddr type local udp checksum 0 " TO_RELAY
           " udp checksum set 0 accept; "
           "add rule inet %1$s udp_pre iif != lo fib daddr type local " TO_RELAY "; "
           "add rule inet %1$s udp_answer udp sport set udp sport map @udp_answers; "
           "add rule inet %1$s udp_out oif lo udp dport @udp_relays drop; "
           "add rule inet %1$s udp_out oif lo %2$s" TO_RELAY "\n",
           rules->table, except_node);
  int error = rules_change(rules, commands, detail, size);
  if (!error) rules->has_udp = true;
  return error;
}

static int add_port(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size) {
  int error = rules_begin(rules, detail, size);
  if (!error && !rules->has_udp) error = add_chains(rules, detail, size);
  if (error) return error;
  char commands[COMMANDS_LIMIT];
  snprintf(commands, sizeof commands,
           "add element inet %1$s udp_relays { %3$u }; add element inet %1$s udp_answers { %3$u : %2$u }; "
           "add element inet %1$s udp_stolen { %2$u : %3$u }\n",
           rules->table, port, relay_port);
  return rules_change(rules, commands, detail, size);
}

int rules_udp_steal(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size) {
  for (size_t each = 0; each < rules->udp_count; each++)
    if (rules->udp[each].port == port) {
      snprintf(detail, size, "UDP port %u is stolen already", port);
      return EADDRINUSE;
    }
  if (rules->udp_count == MAX_STOLEN) {
    snprintf(detail, size, "%d UDP ports are stolen already", MAX_STOLEN);
    return ENOSPC;
  }
  int claim = claim_port(port, "/udp");
  if (claim < 0) {
    if (claim == -EADDRINUSE)
      snprintf(detail, size, "another session's agent has stolen UDP port %u; inpod clean --dry-run names it", port);
    else snprintf(detail, size, "claiming UDP port %u: %s", port, strerror(-claim));
    return -claim;
  }
  int error = add_port(rules, port, relay_port, detail, size);
  if (error) {
    close(claim);
    return error;
  }
  rules->udp[rules->udp_count].port = port;
  rules->udp[rules->udp_count].claim = claim;
  rules->udp[rules->udp_count++].relay_port = relay_port;
  return 0;
}

int rules_udp_release(struct rules *rules, uint16_t port, char *detail, size_t size) {
  size_t at = 0;
  while (at < rules->udp_count && rules->udp[at].port != port) at++;
  if (at == rules->udp_count) return 0;
  char commands[COMMANDS_LIMIT];
  snprintf(commands, sizeof commands,
           "delete element inet %1$s udp_stolen { %2$u }; delete element inet %1$s udp_answers { %3$u }; "
           "delete element inet %1$s udp_relays { %3$u }\n",
           rules->table, port, rules->udp[at].relay_port);
  int error = rules_change(rules, commands, detail, size);
  if (!error && rules->udp_count) {
    close(rules->udp[at].claim);
    rules->udp[at] = rules->udp[--rules->udp_count];
  }
  return error;
}

void rules_udp_forget(struct rules *rules) {
  while (rules->udp_count) close(rules->udp[--rules->udp_count].claim);
  rules->has_udp = false;
}
