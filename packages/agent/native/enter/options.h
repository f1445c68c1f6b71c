// What inpod-enter was asked to do. Words and defaults: usage() in options.c.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include "report.h"

struct options {
  pid_t pid; // 0: by container_id
  const char *container_id;
  const char *pod_uid;
  uint16_t port; // 0: any free one
  const char *listen_path; // NULL: the port
  int64_t node_uid; // -1: unchanged
  int64_t node_gid; // -1: unchanged, and no rule knows Node by its gid
  int64_t find_timeout_ms;
  int64_t deadline_ms; // from the start; 0: none
  int64_t end_timeout_ms; // for Node, after it was told to end
  bool allow_shared_network;
  bool in_pod; // we are a container of the target's pod
  bool targetless;
  bool exit_on_stdin_eof;
  struct sockaddr_storage metrics; // ss_family 0: none
  socklen_t metrics_length;
  enum log_level log_level;
  bool plain_log; // words for people; false: JSON lines
  char **node_command;
};

// 0, or EINVAL with one line in `what`.
int parse_options(int argc, char **argv, struct options *options, char *what, size_t what_size);
extern const char usage[];
