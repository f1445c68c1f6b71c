#define _GNU_SOURCE
#include "packet-filter.h"
#include <linux/if_packet.h>
#include <netinet/in.h>

enum { PROTOCOL, END, SIZE }; // places of the program's memory
enum { MAX_EXTENSIONS = 4 };   // as in packet.ts
enum { TCP_FIN_SYN_RST = 0x07, EVERYTHING = -1 };

struct builder {
  struct sock_filter *program;
  size_t length;
};

static void add(struct builder *to, uint16_t code, uint32_t k) {
  to->program[to->length++] = (struct sock_filter)BPF_STMT(code, k);
}

// Jumps over `yes` or `no` instructions.
static void jump(struct builder *to, uint16_t code, uint32_t k, uint8_t yes, uint8_t no) {
  to->program[to->length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | code | BPF_K, k, yes, no);
}

static void drop_if(struct builder *to, uint16_t code, uint32_t k) {
  jump(to, code, k, 0, 1);
  add(to, BPF_RET | BPF_K, 0);
}

static void drop_unless(struct builder *to, uint16_t code, uint32_t k) {
  jump(to, code, k, 1, 0);
  add(to, BPF_RET | BPF_K, 0);
}

// The transport header's place is in X afterwards.
static void read_ipv4(struct builder *to) {
  add(to, BPF_LD | BPF_H | BPF_ABS, 6);
  drop_if(to, BPF_JSET, 0x1fff); // a later fragment has no port
  add(to, BPF_LD | BPF_H | BPF_ABS, 2);
  add(to, BPF_ST, END);
  add(to, BPF_LD | BPF_B | BPF_ABS, 9);
  add(to, BPF_ST, PROTOCOL);
  add(to, BPF_LDX | BPF_B | BPF_MSH, 0);
}

// Puts X behind the header that it is at, if that is one which may stand in front of TCP (RFC 8200, section 4).
static void skip_extension(struct builder *to) {
  add(to, BPF_LD | BPF_MEM, PROTOCOL);
  jump(to, BPF_JEQ, IPPROTO_HOPOPTS, 8, 0);
  jump(to, BPF_JEQ, IPPROTO_ROUTING, 7, 0);
  jump(to, BPF_JEQ, IPPROTO_DSTOPTS, 6, 0);
  jump(to, BPF_JEQ, IPPROTO_FRAGMENT, 0, 14);
  add(to, BPF_LD | BPF_H | BPF_IND, 2);
  drop_if(to, BPF_JSET, 0xfff8); // a later fragment has no port
  add(to, BPF_LD | BPF_IMM, 8);
  add(to, BPF_JMP | BPF_JA, 3);
  add(to, BPF_LD | BPF_B | BPF_IND, 1);
  add(to, BPF_ALU | BPF_LSH | BPF_K, 3);
  add(to, BPF_ALU | BPF_ADD | BPF_K, 8);
  add(to, BPF_ST, SIZE);
  add(to, BPF_LD | BPF_B | BPF_IND, 0);
  add(to, BPF_ST, PROTOCOL);
  add(to, BPF_LD | BPF_MEM, SIZE);
  add(to, BPF_ALU | BPF_ADD | BPF_X, 0);
  add(to, BPF_MISC | BPF_TAX, 0);
}

// A jumbogram's end is not known.
static void read_ipv6(struct builder *to) {
  add(to, BPF_LD | BPF_H | BPF_ABS, 4);
  jump(to, BPF_JEQ, 0, 1, 0);
  add(to, BPF_ALU | BPF_ADD | BPF_K, 40);
  add(to, BPF_ST, END);
  add(to, BPF_LD | BPF_B | BPF_ABS, 6);
  add(to, BPF_ST, PROTOCOL);
  add(to, BPF_LDX | BPF_IMM, 40);
  for (int each = 0; each < MAX_EXTENSIONS; each++) skip_extension(to);
}

// Goes on for one of the ports, and drops all other packets.
static void match_ports(struct builder *to, uint8_t protocol, const struct mirrored *ports, size_t count) {
  size_t left = 0;
  for (size_t each = 0; each < count; each++) left += ports[each].protocol == protocol;
  add(to, BPF_LD | BPF_H | BPF_IND, 2);
  for (size_t each = 0; each < count; each++)
    if (ports[each].protocol == protocol) jump(to, BPF_JEQ, ports[each].port, left--, 0);
  add(to, BPF_RET | BPF_K, 0);
}

size_t packet_filter(struct sock_filter *program, bool is_ipv6, const struct mirrored *ports, size_t count) {
  struct builder to = {.program = program};
  if (!count) {
    add(&to, BPF_RET | BPF_K, 0);
    return to.length;
  }
  // What is for another machine, and what leaves.
  add(&to, BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_PKTTYPE);
  drop_unless(&to, BPF_JEQ, PACKET_HOST);
  if (is_ipv6) read_ipv6(&to);
  else read_ipv4(&to);
  add(&to, BPF_LD | BPF_MEM, PROTOCOL);
  size_t branch = to.length;
  jump(&to, BPF_JEQ, IPPROTO_TCP, 0, 0);
  match_ports(&to, IPPROTO_TCP, ports, count);
  // Of acknowledgements alone, half of all packets where a pod answers much, nothing is to be had.
  add(&to, BPF_LD | BPF_B | BPF_IND, 13);
  jump(&to, BPF_JSET, TCP_FIN_SYN_RST, 8, 0);
  add(&to, BPF_LD | BPF_B | BPF_IND, 12);
  add(&to, BPF_ALU | BPF_RSH | BPF_K, 2);
  add(&to, BPF_ALU | BPF_AND | BPF_K, 0x3c);
  add(&to, BPF_ALU | BPF_ADD | BPF_X, 0);
  add(&to, BPF_MISC | BPF_TAX, 0);
  add(&to, BPF_LD | BPF_MEM, END);
  to.program[to.length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 1);
  add(&to, BPF_RET | BPF_K, 0);
  add(&to, BPF_RET | BPF_K, (uint32_t)EVERYTHING);
  to.program[branch].jf = to.length - branch - 1;
  drop_unless(&to, BPF_JEQ, IPPROTO_UDP);
  match_ports(&to, IPPROTO_UDP, ports, count);
  add(&to, BPF_RET | BPF_K, (uint32_t)EVERYTHING);
  return to.length;
}
