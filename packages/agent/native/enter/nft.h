// One nft(8) in interactive mode: it holds the netlink socket that owns the table, so that the kernel
// removes the table when nft ends, whatever ended it.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct nft {
  pid_t pid; // 0: not running
  int input, output;
};

// Full path of the program, NULL: not found.
const char *find_nft(void);

// 0 or errno, with one line of nft's own in `detail`.
int nft_start(struct nft *nft, char *detail, size_t size);

// Runs `commands` (lines, each a transaction of its own), then `proof`: a "list" command. nft prints nothing
// on success, so that only the proof's output tells that all before it was done.
// ETIMEDOUT after 5 s without it; the caller must then stop nft.
int nft_run(struct nft *nft, const char *commands, const char *proof, char *detail, size_t size);

// Ends it and waits for its end: an owner table is gone when this returns.
void nft_stop(struct nft *nft);
