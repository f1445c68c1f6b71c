#define _GNU_SOURCE
#include "control.h"
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "flush.h"
#include "nat.h"

struct __attribute__((packed)) request {
  uint8_t operation, protocol;
  uint16_t port, relay_port, reserved_too;
  uint32_t id;
};
struct __attribute__((packed)) message {
  uint32_t length, id;
  uint8_t kind, reserved[3];
  int32_t error;
};
enum { LONGEST_REQUEST = sizeof(struct request) + CONTAINER_ID_LIMIT };
_Static_assert(LONGEST_REQUEST == sizeof(((struct control *)0)->partial), "a request is read whole");

// The socket has a send timeout: a Node that takes nothing for so long is as good as dead.
static int put(int socket, const void *bytes, size_t length) {
  while (length) {
    ssize_t sent = send(socket, bytes, length, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? ETIMEDOUT : errno;
    bytes = (const char *)bytes + sent;
    length -= sent;
  }
  return 0;
}

static int put_message(struct control *control, uint32_t id, uint8_t kind, int error, const void *payload,
                       size_t length) {
  struct message message = {
      .length = sizeof message - sizeof message.length + length, .id = id, .kind = kind, .error = error};
  int failed = put(control->socket, &message, sizeof message);
  if (!failed) failed = put(control->socket, payload, length);
  // Half a message may be out, and nothing that follows would be understood: the next read finds the end.
  if (failed) shutdown(control->socket, SHUT_RDWR);
  return failed;
}

int control_event(struct control *control, enum control_event event, int error, const char *words) {
  return put_message(control, 0, event, error, words, strlen(words));
}

int control_worker_event(struct control *control) {
  const struct life *life = control->life;
  return life->worker ? put_message(control, 0, CONTROL_WORKER_READY, 0, life->worker_mark, WORKER_MARK)
                      : control_event(control, CONTROL_WORKER_GONE, 0, life->target.missing_files);
}

static size_t append(char *buffer, size_t at, const void *bytes, size_t length) {
  uint32_t size = length;
  memcpy(buffer + at, &size, sizeof size);
  memcpy(buffer + at + sizeof size, bytes, length);
  return at + sizeof size + length;
}

static int describe(struct control *control, uint32_t id) {
  const struct target *target = &control->life->target;
  char addresses[4096];
  list_addresses(addresses, sizeof addresses);
  const char *missing_incoming = control->missing_incoming;
  if (!*missing_incoming && rules_missing()) missing_incoming = rules_missing();
  const char *missing_mirror = control->missing_incoming;
  if (!*missing_mirror && capture_missing()) missing_mirror = capture_missing();
  struct { const void *bytes; size_t length; } parts[] = {
      {target->hostname, strlen(target->hostname)},
      {addresses, strlen(addresses)},
      {target->environ ? target->environ : "", target->environ_length},
      {missing_incoming, strlen(missing_incoming)},
      {target->missing_files, strlen(target->missing_files)},
      {target->missing_environment, strlen(target->missing_environment)},
      {missing_mirror, strlen(missing_mirror)},
  };
  size_t count = sizeof parts / sizeof *parts, size = 8;
  for (size_t each = 0; each < count; each++) size += 4 + parts[each].length;
  char *payload = malloc(size);
  if (!payload) return put_message(control, id, CONTROL_DESCRIBE, ENOMEM, "", 0);
  uint32_t ids[2] = {target->ids.uid, target->ids.gid};
  memcpy(payload, ids, sizeof ids);
  size_t at = sizeof ids;
  for (size_t each = 0; each < count; each++) at = append(payload, at, parts[each].bytes, parts[each].length);
  int error = put_message(control, id, CONTROL_DESCRIBE, 0, payload, at);
  free(payload);
  return error;
}

// `id`: CONTAINER_ID_LIMIT bytes, foreign.
static int renew(struct control *control, const uint8_t *id, char *detail, size_t size) {
  char text[CONTAINER_ID_LIMIT + 1] = "";
  memcpy(text, id, CONTAINER_ID_LIMIT);
  // What follows the digits is NULs and nothing else: two spellings of one request would be one too many.
  for (size_t at = strlen(text); at < CONTAINER_ID_LIMIT; at++)
    if (text[at]) return EINVAL;
  if (!is_container_id(text)) return EINVAL;
  pid_t before = control->life->target.pid;
  int error = life_renew(control->life, text, detail, size);
  if (error || control->life->target.pid == before) return error;
  return control_worker_event(control) ? EPIPE : 0;
}

static int mirror(struct control *control, const struct request *request, char *detail, size_t size) {
  struct mirrored wanted = {.port = request->port, .protocol = request->protocol};
  if (!wanted.port || (wanted.protocol != IPPROTO_TCP && wanted.protocol != IPPROTO_UDP)) return EINVAL;
  if (request->operation == CONTROL_UNMIRROR) return capture_remove(control->capture, wanted, detail, size);
  const char *missing = *control->missing_incoming ? control->missing_incoming : capture_missing();
  if (!missing) return capture_add(control->capture, wanted, detail, size);
  strncpy(detail, missing, size - 1);
  return EPERM;
}

struct __attribute__((packed)) client {
  uint8_t family, reserved;
  uint16_t port;
  uint8_t address[16], rest[CONTAINER_ID_LIMIT - 20];
};
_Static_assert(sizeof(struct client) == CONTAINER_ID_LIMIT, "what follows a request has one length");

static int pass(struct control *control, const struct request *request, const uint8_t *rest, char *detail,
                size_t size) {
  struct client client;
  memcpy(&client, rest, sizeof client);
  if (!request->port || !request->relay_port) return EINVAL;
  if (client.family != 0 && client.family != 4 && client.family != 6) return EINVAL;
  if (client.family && !client.port) return EINVAL;
  struct passing passing = {.own_port = request->relay_port, .port = request->port, .family = client.family,
                            .client_port = client.port};
  memcpy(passing.address, client.address, sizeof passing.address);
  return request->operation == CONTROL_PASS ? rules_pass(control->rules, &passing, detail, size)
                                            : rules_passed(control->rules, &passing, detail, size);
}

static int flush(struct control *control, const struct request *request) {
  char detail[256] = "";
  struct flushed flushed;
  int error = EINVAL;
  // Of a port that is not stolen, or not any more, clients would only come back to the pod.
  if (request->port && request->relay_port <= 1 && rules_has(control->rules, request->port))
    error = flush_connections(request->port, control->node_uid, request->relay_port, &flushed, detail, sizeof detail);
  if (error) return put_message(control, request->id, CONTROL_FLUSH, error, detail, strlen(detail));
  uint32_t counts[2] = {flushed.ended, flushed.left};
  return put_message(control, request->id, CONTROL_FLUSH, 0, counts, sizeof counts);
}

struct __attribute__((packed)) redirected {
  uint8_t family, is_reply;
  uint16_t client_port;
  uint8_t client[16], address[16], rest[CONTAINER_ID_LIMIT - 36];
};
_Static_assert(sizeof(struct redirected) == CONTAINER_ID_LIMIT, "what follows a request has one length");

static int other_end(struct control *control, const struct request *request, const uint8_t *rest) {
  char detail[256] = "";
  struct redirected asked;
  memcpy(&asked, rest, sizeof asked);
  struct tracked tracked = {.family = asked.family, .is_reply = asked.is_reply, .client_port = asked.client_port,
                            .port = request->port};
  memcpy(tracked.client, asked.client, sizeof tracked.client);
  memcpy(tracked.address, asked.address, sizeof tracked.address);
  struct other_end other;
  int error = EINVAL;
  if ((asked.family == 4 || asked.family == 6) && asked.is_reply <= 1 && asked.client_port && request->port)
    error = find_other_end(&tracked, &other, detail, sizeof detail);
  return error ? put_message(control, request->id, CONTROL_OTHER_END, error, detail, strlen(detail))
               : put_message(control, request->id, CONTROL_OTHER_END, 0, &other, sizeof other);
}

static bool has_rest(uint8_t operation) {
  return operation == CONTROL_OTHER_END || operation == CONTROL_CONTAINER || operation == CONTROL_PASS || operation == CONTROL_PASSED;
}

static int answer(struct control *control, const struct request *request, const uint8_t *rest) {
  char detail[256] = "";
  int error = EINVAL;
  struct rules *rules = control->rules;
  size_t stolen_before = rules->stolen_count + rules->udp_count;
  switch (request->operation) {
    case CONTROL_STEAL:
    case CONTROL_STEAL_UDP:
      if (!request->port || !request->relay_port || request->port == request->relay_port) break;
      if (*control->missing_incoming) {
        strncpy(detail, control->missing_incoming, sizeof detail - 1);
        error = EPERM;
        break;
      }
      error = (request->operation == CONTROL_STEAL ? rules_steal : rules_udp_steal)(
          rules, request->port, request->relay_port, detail, sizeof detail);
      break;
    case CONTROL_RELEASE:
      if (request->port) error = rules_release(rules, request->port, detail, sizeof detail);
      break;
    case CONTROL_RELEASE_UDP:
      if (request->port) error = rules_udp_release(rules, request->port, detail, sizeof detail);
      break;
    case CONTROL_RELEASE_ALL:
      error = rules_release_all(rules, detail, sizeof detail);
      break;
    case CONTROL_DRAINED:
      error = rules_drained(rules, detail, sizeof detail);
      break;
    case CONTROL_MIRROR:
    case CONTROL_UNMIRROR:
      error = mirror(control, request, detail, sizeof detail);
      break;
    case CONTROL_DESCRIBE:
      return describe(control, request->id);
    case CONTROL_OTHER_END:
      return other_end(control, request, rest);
    case CONTROL_FLUSH:
      return flush(control, request);
    case CONTROL_PASS:
    case CONTROL_PASSED:
      error = pass(control, request, rest, detail, sizeof detail);
      break;
    case CONTROL_CONTAINER:
      error = renew(control, rest, detail, sizeof detail);
      break;
    default:
      // The two ends do not agree; nothing that follows has a meaning.
      return EPROTO;
  }
  // nft did not survive the question: not only the port that was asked for is concerned.
  if (error && stolen_before && !rules->nft.pid) {
    int failed = control_event(control, CONTROL_RULES_LOST, 0, detail);
    if (failed) return failed;
  }
  if (!error) *detail = 0;
  return put_message(control, request->id, request->operation, error, detail, strlen(detail));
}

int control_serve(struct control *control) {
  // Signals and deadlines have their turn between two batches, whatever Node asks.
  for (int batch = 0; batch < 64; batch++) {
    size_t wanted = sizeof(struct request);
    if (control->partial_length >= wanted && has_rest(control->partial[0])) wanted = LONGEST_REQUEST;
    ssize_t got = recv(control->socket, control->partial + control->partial_length,
                       wanted - control->partial_length, MSG_DONTWAIT);
    if (got < 0) return errno == EAGAIN || errno == EINTR ? 0 : errno;
    if (got == 0) return EPIPE;
    control->partial_length += got;
    if (control->partial_length < wanted) continue;
    if (has_rest(control->partial[0]) && wanted < LONGEST_REQUEST) continue;
    control->partial_length = 0;
    struct request request;
    memcpy(&request, control->partial, sizeof request);
    int error = answer(control, &request, control->partial + sizeof request);
    if (error) return error;
  }
  return 0;
}
