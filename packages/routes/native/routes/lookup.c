#define _GNU_SOURCE
#include "lookup.h"
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int bpf(int command, union bpf_attr *attributes) {
  long done = syscall(SYS_bpf, command, attributes, sizeof *attributes);
  return done < 0 ? -errno : (int)done;
}

#define INSTRUCTION(c, d, s, o, i) ((struct bpf_insn){.code = c, .dst_reg = d, .src_reg = s, .off = o, .imm = i})
#define COPY(d, s) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i) INSTRUCTION(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ADD(d, i) INSTRUCTION(BPF_ALU64 | BPF_ADD | BPF_K, d, 0, 0, i)
#define LOAD(d, s, o) INSTRUCTION(BPF_LDX | BPF_MEM | BPF_W, d, s, o, 0)
#define STORE(d, s, o) INSTRUCTION(BPF_STX | BPF_MEM | BPF_W, d, s, o, 0)
#define JUMP_EQUAL(d, i, o) INSTRUCTION(BPF_JMP | BPF_JEQ | BPF_K, d, 0, o, i)
#define JUMP_OTHER(d, i, o) INSTRUCTION(BPF_JMP | BPF_JNE | BPF_K, d, 0, o, i)
#define CALL(function) INSTRUCTION(BPF_JMP | BPF_CALL, 0, 0, 0, function)
#define EXIT INSTRUCTION(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

enum { R0, R1, R2, R3, R4, R6 = 6, R7, R10 = 10 };

enum { END = 23 };
#define TO_END(at) (END - (at)-1)

static int load(int map) {
  const struct bpf_insn program[] = {
      /* 0 */ COPY(R6, R1),
      /* 1 */ LOAD(R2, R1, offsetof(struct bpf_sk_lookup, family)),
      /* 2 */ LOAD(R3, R1, offsetof(struct bpf_sk_lookup, protocol)),
      /* 3 */ SET(R4, TCP_4),
      /* 4 */ JUMP_EQUAL(R3, IPPROTO_TCP, 2),
      /* 5 */ SET(R4, UDP_4),
      /* 6 */ JUMP_OTHER(R3, IPPROTO_UDP, TO_END(6)),
      /* 7 */ JUMP_OTHER(R2, AF_INET6, 1),
      /* 8 */ ADD(R4, TCP_6 - TCP_4),
      /* 9 */ STORE(R10, R4, -4),
      /* 10 */ INSTRUCTION(BPF_LD | BPF_DW | BPF_IMM, R1, BPF_PSEUDO_MAP_FD, 0, map),
      /* 11, its other half */ INSTRUCTION(0, 0, 0, 0, 0),
      /* 12 */ COPY(R2, R10),
      /* 13 */ ADD(R2, -4),
      /* 14 */ CALL(BPF_FUNC_map_lookup_elem),
      /* 15 */ JUMP_EQUAL(R0, 0, TO_END(15)),
      /* 16 */ COPY(R7, R0),
      /* 17 */ COPY(R1, R6),
      /* 18 */ COPY(R2, R0),
      /* 19 */ SET(R3, 0),
      /* 20 */ CALL(BPF_FUNC_sk_assign),
      /* 21 */ COPY(R1, R7),
      /* 22 */ CALL(BPF_FUNC_sk_release),
      /* END */ SET(R0, SK_PASS),
      EXIT,
  };
  union bpf_attr attributes = {
      .prog_type = BPF_PROG_TYPE_SK_LOOKUP,
      .expected_attach_type = BPF_SK_LOOKUP,
      .insns = (uint64_t)(uintptr_t)program,
      .insn_cnt = sizeof program / sizeof *program,
      .license = (uint64_t)(uintptr_t)"Dual MIT/GPL",
  };
  return bpf(BPF_PROG_LOAD, &attributes);
}

static int make_map(void) {
  union bpf_attr attributes = {
      .map_type = BPF_MAP_TYPE_SOCKMAP, .key_size = sizeof(uint32_t), .value_size = sizeof(uint64_t), .max_entries = SOCKETS};
  return bpf(BPF_MAP_CREATE, &attributes);
}

static int put_socket(int map, uint32_t key, int socket) {
  uint64_t value = (uint64_t)socket;
  union bpf_attr attributes = {.map_fd = (uint32_t)map,
                               .key = (uint64_t)(uintptr_t)&key,
                               .value = (uint64_t)(uintptr_t)&value,
                               .flags = BPF_ANY};
  return bpf(BPF_MAP_UPDATE_ELEM, &attributes);
}

static int attach(int program, int network_namespace) {
  union bpf_attr attributes = {.link_create = {.prog_fd = (uint32_t)program,
                                               .target_fd = (uint32_t)network_namespace,
                                               .attach_type = BPF_SK_LOOKUP}};
  return bpf(BPF_LINK_CREATE, &attributes);
}

int lookup_attach(const int sockets[SOCKETS], int network_namespace, const char **step) {
  *step = "a map of sockets (BPF)";
  int map = make_map();
  if (map < 0) return map;
  int error = 0;
  for (uint32_t each = 0; each < SOCKETS && !error; each++)
    if (sockets[each] >= 0) error = put_socket(map, each, sockets[each]);
  int program = -1, link = -1;
  if (!error) {
    *step = "a program that chooses sockets (BPF, sk_lookup)";
    error = program = load(map);
  }
  if (program >= 0) {
    *step = "its use in a network namespace (BPF)";
    error = link = attach(program, network_namespace);
    close(program); /* the link holds it, and the program its map */
  }
  close(map);
  return link >= 0 ? link : error;
}
