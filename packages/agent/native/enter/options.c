#include "options.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char usage[] =
    "usage: inpod-enter --pid PID | --container-id ID [--pod-uid UID] --listen PORT\n"
    "         [--node-uid UID] [--node-gid GID] [--find-timeout SECONDS] [--deadline SECONDS]\n"
    "         [--allow-shared-network] [--exit-on-stdin-eof] -- NODE-COMMAND...\n"
    "  --listen PORT            on 127.0.0.1 of this namespace; 0: any free port\n"
    "  --pod-uid UID            without the container: the network of any process of this pod\n"
    "  --find-timeout SECONDS   wait this long for the container (default 10)\n"
    "  --deadline SECONDS       end after this time, whatever happens\n"
    "  --allow-shared-network   steal although target and agent share their network namespace\n"
    "  --exit-on-stdin-eof      end when stdin does: whoever holds its other end may be killed\n";

static bool parse_number(const char *text, int64_t max, int64_t *value) {
  if (!text || !isdigit((unsigned char)*text)) return false;
  char *end;
  errno = 0;
  long long parsed = strtoll(text, &end, 10);
  if (errno || *end || parsed > max) return false;
  *value = parsed;
  return true;
}

// Runtimes' ids are hexadecimal; pod uids have dashes, static pods' none. Never a path or a pattern.
static bool is_id(const char *text) {
  size_t length = strlen(text);
  if (length < 8 || length > 128) return false;
  for (; *text; text++)
    if (!isalnum((unsigned char)*text) && *text != '-' && *text != '_') return false;
  return true;
}

int parse_options(int argc, char **argv, struct options *options, char *what, size_t what_size) {
  *options = (struct options){.node_uid = -1, .node_gid = -1, .find_timeout_ms = 10000};
  bool has_port = false;
  int at = 1;
  for (; at < argc && strcmp(argv[at], "--"); at++) {
    const char *name = argv[at];
    if (!strcmp(name, "--allow-shared-network")) {
      options->allow_shared_network = true;
      continue;
    }
    if (!strcmp(name, "--exit-on-stdin-eof")) {
      options->exit_on_stdin_eof = true;
      continue;
    }
    const char *value = at + 1 < argc ? argv[++at] : NULL;
    int64_t number = 0;
    bool good = value != NULL;
    if (!strcmp(name, "--pid")) {
      good = parse_number(value, 1 << 22, &number) && number > 0;
      options->pid = number;
    } else if (!strcmp(name, "--container-id")) {
      // As the Kubernetes status has it: containerd://ID.
      const char *scheme = value ? strstr(value, "://") : NULL;
      options->container_id = scheme ? scheme + 3 : value;
      good = value && is_id(options->container_id);
    } else if (!strcmp(name, "--pod-uid")) {
      options->pod_uid = value;
      good = value && is_id(value);
    } else if (!strcmp(name, "--listen")) {
      good = has_port = parse_number(value, 65535, &number);
      options->port = number;
    } else if (!strcmp(name, "--node-uid")) {
      good = parse_number(value, UINT32_MAX - 1, &options->node_uid);
    } else if (!strcmp(name, "--node-gid")) {
      good = parse_number(value, UINT32_MAX - 1, &options->node_gid);
    } else if (!strcmp(name, "--find-timeout")) {
      good = parse_number(value, 86400, &number);
      options->find_timeout_ms = number * 1000;
    } else if (!strcmp(name, "--deadline")) {
      good = parse_number(value, 365 * 86400, &number);
      options->deadline_ms = number * 1000;
    } else {
      snprintf(what, what_size, "unknown option %s", name);
      return EINVAL;
    }
    if (!good) {
      snprintf(what, what_size, "%s: not a valid value", name);
      return EINVAL;
    }
  }
  options->node_command = at < argc ? argv + at + 1 : NULL;
  const char *missing = !options->pid == !options->container_id ? "exactly one of --pid and --container-id"
                        : !has_port                             ? "--listen"
                        : !options->node_command || !*options->node_command ? "-- NODE-COMMAND"
                                                                            : NULL;
  if (missing) snprintf(what, what_size, "needs %s", missing);
  return missing ? EINVAL : 0;
}
