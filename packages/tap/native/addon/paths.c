/* The rules: whose a path is. */
#include "paths.h"
#include <stdlib.h>
#include <string.h>

static struct path_rule **rules;
static size_t rule_count;
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;

void paths_set_rules(struct path_rule **next, size_t count) {
  pthread_rwlock_wrlock(&lock);
  struct path_rule **before = rules;
  size_t before_count = rule_count;
  rules = next;
  rule_count = count;
  pthread_rwlock_unlock(&lock);
  for (size_t i = 0; i < before_count; i++) free(before[i]);
  free(before);
}

/* Removes "//", "." and ".." by the letters alone, in place; a leading slash is given. Returns the length. */
size_t paths_normalise(char *path) {
  char *out = path;
  for (const char *in = path; *in;) {
    while (*in == '/') in++;
    if (!*in) break;
    const char *end = strchrnul(in, '/');
    size_t length = (size_t)(end - in);
    if (length == 1 && in[0] == '.') {
      in = end;
    } else if (length == 2 && in[0] == '.' && in[1] == '.') {
      while (out > path && *--out != '/') continue;
      in = end;
    } else {
      *out++ = '/';
      memmove(out, in, length);
      out += length;
      in = end;
    }
  }
  if (out == path) *out++ = '/';
  *out = 0;
  return (size_t)(out - path);
}

static struct path_decision match_lowered(const char *path, size_t length, int operation, bool binding_only) {
  struct path_decision decision = {VERDICT_LOCAL, false, false, false, -1};
  pthread_rwlock_rdlock(&lock);
  for (size_t i = 0; i < rule_count; i++) {
    const struct path_rule *rule = rules[i];
    if (!(rule->operations & operation) || (binding_only && !rule->binding)) continue;
    enum path_matched matched = path_rule_matches(rule, path, length);
    if (matched == PATH_DIFFERS) continue;
    decision.verdict = matched == PATH_UNSURE ? VERDICT_ASK : rule->verdict;
    decision.fallback = rule->fallback && operation != PATH_WRITE;
    decision.reported = rule->reported;
    decision.guarding = rule->guarding;
    decision.rule = (int)i;
    break;
  }
  pthread_rwlock_unlock(&lock);
  return decision;
}

struct path_decision paths_match(const char *path, size_t length, int operation, bool binding_only) {
  /* Rules are ASCII case-insensitive. */
  char lowered[LONGEST_PATH];
  if (length >= sizeof lowered) return (struct path_decision){VERDICT_LOCAL, false, false, false, -1}; /* the kernel refuses it */
  for (size_t i = 0; i < length; i++) lowered[i] = path[i] >= 'A' && path[i] <= 'Z' ? (char)(path[i] + 32) : path[i];
  lowered[length] = 0;
  return match_lowered(lowered, length, operation, binding_only);
}
