/* A path call of the pod's from its notification to its answer, without TypeScript. */
#include "paths.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The server answers each of its requests within ten seconds, and a call rarely needs a second one. */
enum { DEADLINE_MS = 15000 };

static void serve_kind(const struct path_work *work, struct outcome *outcome) {
  enum call_kind kind = work->call->kind;
  if (kind == CALL_OPEN) serve_open(work, outcome);
  else if (kind < CALL_CHMOD) serve_look(work, outcome);
  else if (kind < CALL_MKDIR) serve_attributes(work, outcome);
  else if (kind < CALL_GETCWD) serve_names(work, outcome);
  else if (kind == CALL_GETCWD) serve_getcwd(work, outcome);
  else if (kind == CALL_CHDIR) serve_chdir(work, outcome);
  else serve_exec(work, outcome);
}

int serve_string(const struct path_work *work, int argument, char *into, size_t size) {
  ssize_t length = memory_read_string(work->tid, work->args[argument], into, size);
  return length < 0 ? (int)length : 0;
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
  if (!error && outcome->by_itself && work->compat) {
    error = EOPNOTSUPP; /* its registers are not ours to set */
    if (work->call->kind == CALL_CHDIR) emit_refused(work->tgid, work->call->name, work->place.path, "32-bit");
  }
  if (!error && outcome->by_itself) {
    report_outcome(work, false, RESULT_UNKNOWN);
    serve_by_itself(op, work, outcome);
    if (outcome->fd >= 0) close(outcome->fd);
    return;
  }
  if (!error && outcome->answer) error = -op_tell(op, outcome->to, outcome->answer, outcome->length);
  report_outcome(work, false, error);
  if (!error && outcome->fd >= 0) {
    op_inject_or_keep(op, outcome->fd, outcome->cloexec);
    return;
  }
  if (op->keep_result) kept_acting(op, outcome->value, error);
  op_reply(op, outcome->value, error);
}

/* The pod has no such file: the developer's, if there is one. */
static bool go_native(struct path_work *work) {
  report_place(work, &work->place, true);
  if (work->place.from_remote) { /* natively the kernel would go on in the pod */
    work->place.verdict = VERDICT_LOCAL;
    return false;
  }
  report_outcome(work, true, RESULT_UNKNOWN);
  struct op *op = op_claim(work->token);
  if (op) op_continue(op);
  return true;
}

/* Whether this machine has something of that name, in the program's own root; who may not look takes it that it has. */
static bool is_here(const struct path_work *work) {
  char path[64 + LONGEST_PATH];
  int length = snprintf(path, sizeof path, "/proc/%d/root%s", work->tid, work->place.path);
  struct stat found;
  return length >= (int)sizeof path || lstat(path, &found) == 0 || !is_missing(errno);
}

/*
 * A file where a directory was looked for is something that the pod has: ENOTDIR is to be told, unless the developer has what
 * was named.
 */
static bool falls_back(const struct path_work *work, int error) {
  if (!is_missing(error) || work->place.verdict == VERDICT_LOCAL || !work->place.fallback) return false;
  return error == ENOENT || is_here(work);
}

static void serve_now(struct path_work *work) {
  struct outcome outcome;
  for (;;) {
    outcome.value = outcome.error = 0;
    outcome.fd = -1;
    outcome.by_itself = work->call->kind >= CALL_CHDIR;
    outcome.answer = outcome.heap = NULL;
    serve_kind(work, &outcome);
    if (!falls_back(work, outcome.error)) break;
    free(outcome.heap);
    if (go_native(work)) return;
  }
  answer(work, &outcome);
  free(outcome.heap);
}

/*
 * A stat of what is known here asks nobody, but where the attributes alone have been forgotten, which is bad luck (crew.c).
 * Another thread in our place costs as much as the rest of the call.
 */
static bool is_at_hand(const struct path_work *work) {
  return work->call->kind == CALL_STAT && work->place.verdict == VERDICT_REMOTE &&
         !(work->flags & AT_STATX_FORCE_SYNC) && serve_path_is_known(work);
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
  work->place.path = work->place.walk = work->second.path = work->second.walk = NULL; /* they are the copy's */
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
static int refusal_of(enum path_verdict verdict) {
  if (verdict == VERDICT_NOT_FOUND) return ENOENT;
  return verdict == VERDICT_READ_ONLY ? EROFS : 0;
}

static bool stays_native(const struct place *place) {
  return !place->path || (place->verdict == VERDICT_LOCAL && !place->from_remote);
}

/* Of both paths. From the pod to this machine there is no rename or link, as from one disk to another. */
static int refusal(const struct path_work *work) {
  int first = refusal_of(work->place.verdict);
  if (first || !work->second.path) return first;
  int second = refusal_of(work->second.verdict);
  if (second) return second;
  return (work->place.verdict == VERDICT_REMOTE) != (work->second.verdict == VERDICT_REMOTE) ? EXDEV : 0;
}

static bool is_asked(const struct path_work *work) {
  bool is_remote = work->place.verdict == VERDICT_REMOTE || work->second.verdict == VERDICT_REMOTE;
  if (is_remote && remote_get().asks) return true;
  return work->place.verdict == VERDICT_ASK || (work->second.path && work->second.verdict == VERDICT_ASK);
}

bool serve_begin(const struct seccomp_notif *notif, struct path_work *work) {
  report_began(work);
  if (stays_native(&work->place) && stays_native(&work->second)) {
    report_work(work);
    report_outcome(work, false, RESULT_UNKNOWN);
    return false;
  }
  enum call_kind kind = work->call->kind;
  /* A program that the rules hide may be executed, and where one works is no question of the rules. */
  if (kind == CALL_EXEC && work->place.verdict != VERDICT_REMOTE && !work->place.from_remote) return false;
  bool has_root = remote_get().fd >= 0;
  bool asks = kind != CALL_GETCWD && (is_asked(work) || (!has_root && work->place.verdict == VERDICT_REMOTE));
  /* Without a remote root TypeScript serves only the first ones; what is mapped may be this machine's. */
  if (asks && !has_root && kind > CALL_READLINK && !is_asked(work)) return false;
  if (!asks) report_work(work);
  int refused = asks ? 0 : refusal(work);
  if (refused) {
    report_outcome(work, false, refused);
    notification_reply(work->listener, notif->id, 0, refused);
    return true;
  }
  bool joined;
  struct op *op = op_new(work->listener, notif, work->tgid, work->place.path, work->second.path, &joined);
  if (!op) return joined;
  op->path = strdup(work->place.path);
  op->rule = work->place.rule;
  if (work->second.path) op->second_path = strdup(work->second.path);
  if (asks) {
    ask(op, work);
    return true;
  }
  statistics_count(&statistics.served);
  give_away(op, work);
  if (is_at_hand(work) || receive_may_block()) serve_now(work);
  else pool_run(serve_later, work_copy(work));
  return true;
}

static void serve_decided(struct op *op) {
  struct path_work *work = op->work;
  op->work = NULL;
  give_away(op, work);
  pool_run(serve_later, work);
}

static void take_path(struct place *place, const char *path, enum path_verdict verdict) {
  place->verdict = verdict;
  if (strcmp(path, place->path) == 0) return;
  place->from_remote = true; /* natively the kernel would go on with what the call says */
  free(place->path);
  free(place->walk);
  place->path = strdup(path);
  place->walk = strdup(path);
  if (!place->path || !place->walk) abort();
}

void serve_remote(struct op *op, const char *path, const char *second, bool fallback) {
  struct path_work *work = op->work;
  if (work->second.path && !*second) {
    op_reply(op, 0, EXDEV);
    return;
  }
  take_path(&work->place, path, VERDICT_REMOTE);
  if (work->second.path) take_path(&work->second, second, VERDICT_REMOTE);
  work->place.fallback = fallback && op->operation != PATH_WRITE;
  serve_decided(op);
}

void serve_local(struct op *op, const char *path, const char *second) {
  struct path_work *work = op->work;
  take_path(&work->place, path ? path : work->place.path, VERDICT_LOCAL);
  work->second.verdict = VERDICT_LOCAL;
  if (work->second.path && second) take_path(&work->second, second, VERDICT_LOCAL);
  serve_decided(op);
}
