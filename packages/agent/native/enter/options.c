#include "options.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

const char usage[] =
    "usage: inpod-enter --pid PID | --container-id ID [--pod-uid UID] | --targetless\n"
    "         --listen PORT | --listen-path PATH\n"
    "         [--in-pod] [--node-uid UID] [--node-gid GID] [--find-timeout SECONDS] [--deadline SECONDS]\n"
    "         [--end-timeout SECONDS]\n"
    "         [--allow-shared-network] [--exit-on-stdin-eof] [--metrics ADDRESS:PORT]\n"
    "         [--log-level off|error|warn|info|debug|trace] [--plain-log | --json-log] -- NODE-COMMAND...\n"
    "  --listen PORT            on 127.0.0.1 of this namespace; 0: any free port\n"
    "  --listen-path PATH       on a unix socket: who is here can reach it from every network namespace\n"
    "  --pod-uid UID            without the container: the network of any process of this pod\n"
    "  --targetless             nobody's place: what a pod of this namespace sees\n"
    "  --in-pod                 this is a container of the target's pod: there is nothing to join\n"
    "  --find-timeout SECONDS   wait this long for the container (default 10)\n"
    "  --deadline SECONDS       end after this time, whatever happens\n"
    "  --end-timeout SECONDS    what Node has to put in order at its end may take so long (default 1)\n"
    "  --allow-shared-network   steal although the network namespace is not the target's alone\n"
    "  --exit-on-stdin-eof      end when stdin does: whoever holds its other end may be killed\n"
    "  --metrics ADDRESS:PORT   Node serves its counters there, of this namespace\n";

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

static const char *const level_names[] = {"off", "error", "warn", "info", "debug", "trace"};

static bool parse_level(const char *text, enum log_level *level) {
  for (size_t each = 0; text && each < sizeof level_names / sizeof *level_names; each++)
    if (!strcmp(text, level_names[each])) {
      *level = each;
      return true;
    }
  return false;
}

// 0.0.0.0:9000, [::]:9000
static bool parse_address(const char *text, struct options *options) {
  const char *colon = text ? strrchr(text, ':') : NULL;
  int64_t port;
  char host[64];
  if (!colon || !parse_number(colon + 1, 65535, &port)) return false;
  bool is_ipv6 = *text == '[' && colon[-1] == ']';
  int length = is_ipv6 ? colon - text - 2 : colon - text;
  if (length <= 0 || length >= (int)sizeof host) return false;
  snprintf(host, sizeof host, "%.*s", length, text + is_ipv6);
  if (is_ipv6) {
    struct sockaddr_in6 *address = (struct sockaddr_in6 *)&options->metrics;
    *address = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    options->metrics_length = sizeof *address;
    return inet_pton(AF_INET6, host, &address->sin6_addr) == 1;
  }
  struct sockaddr_in *address = (struct sockaddr_in *)&options->metrics;
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
  options->metrics_length = sizeof *address;
  return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

// Options without a value: whether `name` is one.
static bool parse_switch(const char *name, struct options *options) {
  if (!strcmp(name, "--allow-shared-network")) options->allow_shared_network = true;
  else if (!strcmp(name, "--exit-on-stdin-eof")) options->exit_on_stdin_eof = true;
  else if (!strcmp(name, "--in-pod")) options->in_pod = true;
  else if (!strcmp(name, "--targetless")) options->targetless = true;
  else if (!strcmp(name, "--plain-log")) options->plain_log = true;
  else if (!strcmp(name, "--json-log")) options->plain_log = false;
  else return false;
  return true;
}

int parse_options(int argc, char **argv, struct options *options, char *what, size_t what_size) {
  *options = (struct options){.node_uid = -1, .node_gid = -1, .find_timeout_ms = 10000,
                              .end_timeout_ms = 1000, .log_level = LOG_INFO};
  bool has_port = false;
  int at = 1;
  for (; at < argc && strcmp(argv[at], "--"); at++) {
    const char *name = argv[at];
    if (parse_switch(name, options)) continue;
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
    } else if (!strcmp(name, "--listen-path")) {
      good = value && *value == '/' && strlen(value) < sizeof((struct sockaddr_un *)0)->sun_path;
      options->listen_path = value;
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
    } else if (!strcmp(name, "--end-timeout")) {
      good = parse_number(value, 600, &number);
      options->end_timeout_ms = number * 1000;
    } else if (!strcmp(name, "--metrics")) {
      good = parse_address(value, options);
    } else if (!strcmp(name, "--log-level")) {
      good = parse_level(value, &options->log_level);
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
  int ways = !!options->pid + !!options->container_id + options->targetless;
  const char *missing = ways != 1   ? "exactly one of --pid, --container-id and --targetless"
                        : has_port == !!options->listen_path ? "exactly one of --listen and --listen-path"
                        : !options->node_command || !*options->node_command ? "-- NODE-COMMAND"
                                                                            : NULL;
  if (missing) snprintf(what, what_size, "needs %s", missing);
  return missing ? EINVAL : 0;
}
