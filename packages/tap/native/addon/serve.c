/* A path call of the pod's from its notification to its answer, without TypeScript. */
#include "paths.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The server answers each of its requests within ten seconds, and a call rarely needs a second one. */
enum { DEADLINE_MS = 15000 };

static void serve_kind(const struct path_work *work, struct outcome *outcome) {
  switch (work->call->kind) {
    case CALL_OPEN:
      serve_open(work, outcome);
      return;
    case CALL_STAT:
      serve_stat(work, outcome);
      return;
    case CALL_ACCESS:
      serve_access(work, outcome);
      return;
    case CALL_READLINK:
      serve_readlink(work, outcome);
      return;
  }
}

bool serve_acts(const struct path_work *work) { return work->operation == PATH_WRITE; }

static bool is_missing(int error) { return error == ENOENT || error == ENOTDIR; }

static void answer(const struct path_work *work, const struct outcome *outcome) {
  /* NULL: its deadline has passed, and the program went on. */
  struct op *op = op_claim(work->token);
  if (!op) {
    if (outcome->fd >= 0) close(outcome->fd);
    return;
  }
  int error = outcome->error;
  if (!error && outcome->answer) error = -memory_write(work->tid, outcome->to, outcome->answer, outcome->length);
  if (!error && outcome->fd >= 0) {
    op_inject_or_keep(op, outcome->fd, outcome->cloexec);
    return;
  }
  if (op->keep_result) kept_acting(op, outcome->value, error);
  op_reply(op, outcome->value, error);
}

/* The pod has no such file: the developer's, if there is one. */
static bool go_native(struct path_work *work) {
  if (work->place.from_remote) {
    work->place.verdict = VERDICT_LOCAL;
    return false;
  }
  struct op *op = op_claim(work->token);
  if (op) op_continue(op);
  return true;
}

static void serve_now(struct path_work *work) {
  struct outcome outcome;
  for (;;) {
    outcome.value = outcome.error = 0;
    outcome.fd = -1;
    outcome.answer = NULL;
    serve_kind(work, &outcome);
    if (!is_missing(outcome.error) || work->place.verdict == VERDICT_LOCAL || !work->place.fallback) break;
    if (go_native(work)) return;
  }
  answer(work, &outcome);
}

static void serve_later(void *argument) {
  struct path_work *work = argument;
  serve_now(work);
  places_free(work);
  free(work);
}

static struct path_work *work_copy(struct path_work *work) {
  struct path_work *copy = malloc(sizeof *copy);
  if (!copy) abort();
  *copy = *work;
  work->place.path = work->place.walk = NULL; /* they are the copy's */
  return copy;
}

/* A claimed op from now on is whoever serves it, or the sweeper's at the deadline. */
static void give_away(struct op *op, struct path_work *work) {
  op->keep_result = serve_acts(work);
  /* If we are killed in the middle nobody knows whether it was done. */
  if (op->keep_result) kept_acting(op, 0, EIO);
  op_set_deadline(op, DEADLINE_MS, EIO);
  work->token = op_unclaim(op);
}

static void ask(struct op *op, struct path_work *work) {
  op->flags = work->flags;
  op->operation = work->operation;
  op->rule = work->place.rule;
  op->work = work_copy(work);
  op_ask(op, OP_PATH, DEADLINE_MS, EIO);
}

/* A verdict that needs no look-up. 0: it does. */
static int refusal(enum path_verdict verdict) {
  if (verdict == VERDICT_NOT_FOUND) return ENOENT;
  return verdict == VERDICT_READ_ONLY ? EROFS : 0;
}

static bool is_asked(void) {
  struct remote_root root = remote_get();
  return root.fd < 0 || root.asks;
}

bool serve_begin(const struct seccomp_notif *notif, struct path_work *work) {
  struct place *place = &work->place;
  if (place->verdict == VERDICT_LOCAL && !place->from_remote) return false;
  if (refusal(place->verdict)) {
    notification_reply(work->listener, notif->id, 0, refusal(place->verdict));
    return true;
  }
  bool joined;
  struct op *op = op_new(work->listener, notif, work->tgid, place->path, &joined);
  if (!op) return joined;
  op->path = strdup(place->path);
  if (place->verdict == VERDICT_ASK || (place->verdict == VERDICT_REMOTE && is_asked())) {
    ask(op, work);
    return true;
  }
  statistics.served++;
  give_away(op, work);
  if (receive_may_block()) serve_now(work);
  else pool_run(serve_later, work_copy(work));
  return true;
}

static void serve_decided(struct op *op) {
  struct path_work *work = op->work;
  op->work = NULL;
  give_away(op, work);
  pool_run(serve_later, work);
}

void serve_remote(struct op *op, const char *path, bool fallback) {
  struct place *place = &op->work->place;
  place->verdict = VERDICT_REMOTE;
  place->fallback = fallback && op->operation != PATH_WRITE;
  if (path && strcmp(path, place->path) != 0) {
    free(place->path);
    free(place->walk);
    place->path = strdup(path);
    place->walk = strdup(path);
    if (!place->path || !place->walk) abort();
  }
  serve_decided(op);
}

void serve_local(struct op *op) {
  op->work->place.verdict = VERDICT_LOCAL;
  serve_decided(op);
}
