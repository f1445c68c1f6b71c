#define _GNU_SOURCE
#include "rules.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "claim.h"
#include "privilege.h"

enum { COMMANDS_LIMIT = 4096 };

// Only the first packet of a connection: one that was open before would be picked up in its middle and reset.
#define IS_SYN "tcp flags & (fin|syn|rst|ack) == syn"

const char *rules_missing(void) {
  if (!find_nft()) return "nft not found";
  if (!has_capability(CAP_NET_ADMIN)) return "nft: Operation not permitted (needs CAP_NET_ADMIN)";
  return NULL;
}

static int run(struct rules *rules, const char *commands, char *detail, size_t size) {
  char proof[80];
  snprintf(proof, sizeof proof, "list map inet %s stolen", rules->table);
  return nft_run(&rules->nft, commands, proof, detail, size);
}

static int add_table(struct rules *rules, const char *flags, char *detail, size_t size) {
  char commands[COMMANDS_LIMIT];
  snprintf(commands, sizeof commands,
           "add table inet %1$s%2$s\n"
           "add map inet %1$s stolen { type inet_service : inet_service; }\n",
           rules->table, flags);
  return run(rules, commands, detail, size);
}

// Chains with priorities after a mesh's (iptables' -100): what it redirects, it keeps. `fib daddr type local`:
// in a target that routes, packets that only pass through are not ours. The rule with `ct` in "input" also
// keeps connection tracking, and with it the translation of open connections, when no port is stolen any more.
static int add_chains(struct rules *rules, char *detail, size_t size) {
  char commands[COMMANDS_LIMIT], except_node[48] = "";
  // Node's own connections, to this pod among others, must reach whom they are for.
  if (rules->node_gid >= 0) snprintf(except_node, sizeof except_node, "meta skgid != %u ", (unsigned)rules->node_gid);
  snprintf(commands, sizeof commands,
           "add set inet %1$s relays { type inet_service; }\n"
           "add set inet %1$s passing { type inet_service . inet_service; }\n"
           "add chain inet %1$s pre { type nat hook prerouting priority dstnat + 5; }\n"
           "add chain inet %1$s out { type nat hook output priority -95; }\n"
           "add chain inet %1$s input { type filter hook input priority 0; }\n"
           "add rule inet %1$s input tcp dport @relays ct status & dnat == 0 reject with tcp reset\n"
           "add rule inet %1$s pre fib daddr type local " IS_SYN " redirect to :tcp dport map @stolen\n"
           "add rule inet %1$s out oif lo tcp sport . tcp dport @passing accept\n"
           "add rule inet %1$s out oif lo %2$s" IS_SYN " redirect to :tcp dport map @stolen\n",
           rules->table, except_node);
  return run(rules, commands, detail, size);
}

// A pod must not take strangers for itself: a server may trust who comes from its own address. Maps of two values
// are younger than the rest (Linux 5.8, nft 0.9.5): without them what is passed on has our address.
static bool add_sources(struct rules *rules) {
  char commands[COMMANDS_LIMIT], detail[200];
  snprintf(commands, sizeof commands,
           "add map inet %1$s who4 { typeof tcp sport . tcp dport : ip saddr . tcp sport; }; "
           "add map inet %1$s who6 { typeof tcp sport . tcp dport : ip6 saddr . tcp sport; }; "
           "add chain inet %1$s post { type nat hook postrouting priority srcnat - 5; }; "
           "add rule inet %1$s post oif lo snat ip to tcp sport . tcp dport map @who4; "
           "add rule inet %1$s post oif lo snat ip6 to tcp sport . tcp dport map @who6\n",
           rules->table);
  return !run(rules, commands, detail, sizeof detail);
}

static int start(struct rules *rules, char *detail, size_t size) {
  uint32_t random;
  // A name of its own: agents of several developers live side by side in one namespace.
  if (getrandom(&random, sizeof random, 0) != sizeof random) return EIO;
  snprintf(rules->table, sizeof rules->table, "inpod-%08x", random);
  int error = nft_start(&rules->nft, detail, size);
  if (!error) {
    rules->has_owner = true;
    error = add_table(rules, " { flags owner; }", detail, size);
    // Before Linux 5.12 a table has no owner: then it is ours to remove.
    if (error && error != EPERM && error != ETIMEDOUT && error != EPIPE) {
      rules->has_owner = false;
      error = add_table(rules, "", detail, size);
    }
  }
  if (!error) error = add_chains(rules, detail, size);
  if (!error) rules->keeps_source = add_sources(rules);
  if (error) rules_remove(rules);
  return error;
}

static void forget_all(struct rules *rules) {
  while (rules->stolen_count) close(rules->stolen[--rules->stolen_count].claim);
}

// After ETIMEDOUT or EPIPE nobody knows what nft did: without it there are no rules, which is known.
static int settle(struct rules *rules, int error) {
  if (error == ETIMEDOUT || error == EPIPE) rules_remove(rules);
  return error;
}

int rules_begin(struct rules *rules, char *detail, size_t size) {
  return rules->nft.pid ? 0 : start(rules, detail, size);
}

int rules_change(struct rules *rules, const char *commands, char *detail, size_t size) {
  return settle(rules, run(rules, commands, detail, size));
}

static int add_port(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size) {
  int error = rules_begin(rules, detail, size);
  if (error) return error;
  char commands[COMMANDS_LIMIT];
  // One line is one transaction. Adding a member twice is no error, so relays just grow.
  snprintf(commands, sizeof commands,
           "add element inet %1$s relays { %3$u }; add element inet %1$s stolen { %2$u : %3$u }\n", rules->table,
           port, relay_port);
  return settle(rules, run(rules, commands, detail, size));
}

bool rules_has(const struct rules *rules, uint16_t port) {
  for (size_t each = 0; each < rules->stolen_count; each++)
    if (rules->stolen[each].port == port) return true;
  return false;
}

int rules_steal(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size) {
  if (rules_has(rules, port)) {
    snprintf(detail, size, "port %u is stolen already", port);
    return EADDRINUSE;
  }
  if (rules->stolen_count == MAX_STOLEN) {
    snprintf(detail, size, "%d ports are stolen already", MAX_STOLEN);
    return ENOSPC;
  }
  int claim = claim_port(port, "");
  if (claim < 0) {
    if (claim == -EADDRINUSE)
      snprintf(detail, size, "another session's agent has stolen port %u; inpod clean --dry-run names it", port);
    else snprintf(detail, size, "claiming port %u: %s", port, strerror(-claim));
    return -claim;
  }
  int error = add_port(rules, port, relay_port, detail, size);
  if (error) {
    close(claim);
    return error;
  }
  rules->stolen[rules->stolen_count].port = port;
  rules->stolen[rules->stolen_count].claim = claim;
  rules->stolen[rules->stolen_count++].relay_port = relay_port;
  return 0;
}

int rules_release(struct rules *rules, uint16_t port, char *detail, size_t size) {
  size_t at = 0;
  while (at < rules->stolen_count && rules->stolen[at].port != port) at++;
  if (at == rules->stolen_count) return 0;
  char commands[COMMANDS_LIMIT];
  snprintf(commands, sizeof commands, "delete element inet %s stolen { %u }\n", rules->table, port);
  int error = settle(rules, run(rules, commands, detail, size));
  if (!error && rules->stolen_count) {
    close(rules->stolen[at].claim);
    rules->stolen[at] = rules->stolen[--rules->stolen_count];
  }
  return error;
}

int rules_release_all(struct rules *rules, char *detail, size_t size) {
  int error = 0;
  while (!error && rules->udp_count) error = rules_udp_release(rules, rules->udp[0].port, detail, size);
  if (error || !rules->stolen_count) return error;
  char commands[COMMANDS_LIMIT];
  snprintf(commands, sizeof commands, "flush map inet %s stolen\n", rules->table);
  error = settle(rules, run(rules, commands, detail, size));
  if (!error) forget_all(rules);
  return error;
}

void rules_give_back(struct rules *rules) {
  if (!rules->nft.pid) return;
  char commands[COMMANDS_LIMIT], detail[200], udp[120] = "";
  if (rules->has_udp)
    snprintf(udp, sizeof udp, "; flush map inet %1$s udp_stolen; flush map inet %1$s udp_answers", rules->table);
  snprintf(commands, sizeof commands, "flush map inet %s stolen%s\n", rules->table, udp);
  if (run(rules, commands, detail, sizeof detail)) rules_remove(rules);
  // Another agent may have the ports: the session's next one comes while Node still ends.
  forget_all(rules);
  rules_udp_forget(rules);
}

static int change_passing(struct rules *rules, const char *verb, const struct passing *passing, char *detail,
                          size_t size) {
  if (!rules->nft.pid) {
    snprintf(detail, size, "no port is stolen");
    return ENOENT;
  }
  if (passing->family && !rules->keeps_source) {
    snprintf(detail, size, "this kernel or nft cannot keep the client's address");
    return EOPNOTSUPP;
  }
  char commands[COMMANDS_LIMIT], source[200] = "", address[INET6_ADDRSTRLEN] = "";
  bool is_ipv6 = passing->family == 6;
  if (passing->family) {
    inet_ntop(is_ipv6 ? AF_INET6 : AF_INET, passing->address, address, sizeof address);
    snprintf(source, sizeof source, "; %s element inet %s who%d { %u . %u : %s . %u }", verb, rules->table,
             passing->family, passing->own_port, passing->port, address, passing->client_port);
  }
  snprintf(commands, sizeof commands, "%s element inet %s passing { %u . %u }%s\n", verb, rules->table,
           passing->own_port, passing->port, source);
  return settle(rules, run(rules, commands, detail, size));
}

int rules_pass(struct rules *rules, const struct passing *passing, char *detail, size_t size) {
  return change_passing(rules, "add", passing, detail, size);
}

int rules_passed(struct rules *rules, const struct passing *passing, char *detail, size_t size) {
  return change_passing(rules, "delete", passing, detail, size);
}

int rules_drained(struct rules *rules, char *detail, size_t size) {
  if (rules->stolen_count + rules->udp_count) {
    snprintf(detail, size, "%zu ports are stolen", rules->stolen_count + rules->udp_count);
    return EBUSY;
  }
  rules_remove(rules);
  return 0;
}

// A plain table outlives its nft: removed by this one, or by a new one if this one has ended.
static void delete_plain_table(struct rules *rules) {
  char commands[COMMANDS_LIMIT], detail[200];
  snprintf(commands, sizeof commands, "delete table inet %s\n", rules->table);
  for (int attempt = 0; attempt < 2; attempt++) {
    // It is done when the proof's list fails.
    int error = run(rules, commands, detail, sizeof detail);
    if (error != ETIMEDOUT && error != EPIPE) return;
    nft_stop(&rules->nft);
    if (nft_start(&rules->nft, detail, sizeof detail)) return;
  }
}

void rules_remove(struct rules *rules) {
  if (rules->nft.pid && !rules->has_owner) delete_plain_table(rules);
  nft_stop(&rules->nft);
  rules->table[0] = 0;
  forget_all(rules);
  rules_udp_forget(rules);
}
