// The rules that turn new connections to stolen ports to Node's relay ports. Composed here, out of integers.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "nft.h"

enum { MAX_STOLEN = 64 };

struct rules {
  int64_t node_gid; // -1: nobody's connections are left out
  char table[32]; // empty: there is none
  bool has_owner;
  bool keeps_source; // the kernel can give a passed connection its client's address
  struct nft nft;
  struct { uint16_t port, relay_port; int claim; } stolen[MAX_STOLEN];
  size_t stolen_count;
  bool has_udp; // the table has what UDP needs
  struct { uint16_t port, relay_port; int claim; } udp[MAX_STOLEN];
  size_t udp_count;
};

// What prevents stealing here, in words; NULL: nothing known.
const char *rules_missing(void);

// Each 0, or errno with words in `detail`; after a failure the rules are those from before.
int rules_steal(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size);
bool rules_has(const struct rules *rules, uint16_t port);
// New connections reach the pod; open ones live on: their translation stays until rules_drained().
int rules_release(struct rules *rules, uint16_t port, char *detail, size_t size);
int rules_release_all(struct rules *rules, char *detail, size_t size);

// A connection of Node's from local port `own_port` to a stolen port, made for a client: the rules let it through,
// and the pod sees the client as its peer. `family` 0: the pod sees us.
struct passing {
  uint16_t own_port, port;
  uint8_t family; // 0, 4, 6
  uint8_t address[16]; // of the client, in network order
  uint16_t client_port;
};
// Before its SYN; what nft knows of it afterwards matters no more. EOPNOTSUPP: with family 0 only.
int rules_pass(struct rules *rules, const struct passing *passing, char *detail, size_t size);
int rules_passed(struct rules *rules, const struct passing *passing, char *detail, size_t size);

// The same for UDP, rules-udp.c: from now on every datagram to `port` goes to the relay, and what the relay sends comes
// from `port`; after the release neither does.
int rules_udp_steal(struct rules *rules, uint16_t port, uint16_t relay_port, char *detail, size_t size);
int rules_udp_release(struct rules *rules, uint16_t port, char *detail, size_t size);
void rules_udp_forget(struct rules *rules);

// For those who add to the table. The table and its chains, if there are none yet.
int rules_begin(struct rules *rules, char *detail, size_t size);
// Each line is a transaction of its own. After ETIMEDOUT or EPIPE there are no rules any more.
int rules_change(struct rules *rules, const char *commands, char *detail, size_t size);

// No stolen connection is open any more: the table goes. EBUSY while a port is stolen.
int rules_drained(struct rules *rules, char *detail, size_t size);
// Before everything ends: new connections reach the pod, whatever port they are for, and open ones are translated
// until rules_remove(), so that their ends reach their clients.
void rules_give_back(struct rules *rules);
// Removes everything, at any time; connections that are still translated are reset.
void rules_remove(struct rules *rules);
