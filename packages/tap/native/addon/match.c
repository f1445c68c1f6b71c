/* What one path rule says of one path. The rules are layer's (layer/src/rules); so is the table of an automaton. */
#include "paths.h"
#include <ctype.h>
#include <string.h>

enum { AUTOMATON_NOT_ASCII = 128, AUTOMATON_END = 129, AUTOMATON_SYMBOLS = 130 };
enum { AUTOMATON_ANSWERS = 3 }; /* states below it are an enum path_matched */

static bool ends_in_shared_object(const char *path, size_t length) {
  /* name.so, name.so.1, name.so.1.2.3 */
  while (length > 0) {
    size_t at = length;
    while (at > 0 && isdigit((unsigned char)path[at - 1])) at--;
    if (at == length || at == 0 || path[at - 1] != '.') break;
    length = at - 1;
  }
  return length > 3 && memcmp(path + length - 3, ".so", 3) == 0;
}

/* Bytes of the character that begins here, or 0: not UTF-8 (RFC 3629, section 4). `at` is followed by a NUL. */
static size_t utf8_length(const unsigned char *at) {
  unsigned char first = at[0], lowest = 0x80, highest = 0xbf;
  size_t length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (first == 0xe0) lowest = 0xa0;
  if (first == 0xed) highest = 0x9f; /* no surrogates */
  if (first == 0xf0) lowest = 0x90;
  if (first == 0xf4) highest = 0x8f;
  for (size_t i = 1; i < length; i++) {
    if (at[i] < lowest || at[i] > highest) return 0;
    lowest = 0x80;
    highest = 0xbf;
  }
  return length;
}

/* `table`: classes of symbols, first state, class of each symbol, then for each state the next one by class. */
static enum path_matched run_automaton(const uint16_t *table, const char *path, size_t length) {
  size_t classes = table[0];
  uint16_t state = table[1];
  const uint16_t *class_of = table + 2, *next = class_of + AUTOMATON_SYMBOLS;
  for (size_t i = 0; i < length && state >= AUTOMATON_ANSWERS; i++) {
    const unsigned char *at = (const unsigned char *)path + i;
    if (*at < AUTOMATON_NOT_ASCII) {
      state = next[state * classes + class_of[*at]];
      continue;
    }
    size_t bytes = utf8_length(at);
    if (!bytes) return PATH_UNSURE;
    state = next[state * classes + class_of[AUTOMATON_NOT_ASCII]];
    /* Four bytes are two code units of JavaScript's strings. */
    if (bytes == 4) state = next[state * classes + class_of[AUTOMATON_NOT_ASCII]];
    i += bytes - 1;
  }
  return (enum path_matched)next[state * classes + class_of[AUTOMATON_END]];
}

enum path_matched path_rule_matches(const struct path_rule *rule, const char *path, size_t length) {
  bool matched = false;
  switch (rule->match) {
    case MATCH_EXACT:
      matched = length == rule->length && memcmp(path, rule->text, length) == 0;
      break;
    case MATCH_TREE:
      matched = length >= rule->length && memcmp(path, rule->text, rule->length) == 0 &&
                (path[rule->length] == 0 || path[rule->length] == '/');
      break;
    case MATCH_PREFIX:
      matched = length >= rule->length && memcmp(path, rule->text, rule->length) == 0;
      break;
    case MATCH_SUFFIX:
      matched = length >= rule->length && memcmp(path + length - rule->length, rule->text, rule->length) == 0;
      break;
    case MATCH_CONTAINS:
      matched = memmem(path, length, rule->text, rule->length) != NULL;
      break;
    case MATCH_SHARED_OBJECT:
      matched = ends_in_shared_object(path, length);
      break;
    case MATCH_AUTOMATON:
      return run_automaton(rule->table, path, length);
    case MATCH_ASK:
      return PATH_UNSURE;
  }
  return matched ? PATH_MATCHED : PATH_DIFFERS;
}
