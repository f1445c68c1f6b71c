/* The tables that TypeScript fills: by them alone the receiving threads decide. */
#include "surface.h"
#include "paths.h"
#include <stdlib.h>
#include <string.h>

/* setPathRules([{match, operations, verdict, fallback, isBinding, isGuarding, isReported, text, table}]): replaces them. */
napi_value set_path_rules(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  struct path_rule **rules = calloc(count + 1, sizeof *rules);
  for (uint32_t i = 0; rules && i < count; i++) {
    napi_value entry, field;
    int32_t match = 0, operations = 0, verdict = 0;
    size_t length = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_named_property(env, entry, "match", &field);
    napi_get_value_int32(env, field, &match);
    napi_get_named_property(env, entry, "operations", &field);
    napi_get_value_int32(env, field, &operations);
    napi_get_named_property(env, entry, "verdict", &field);
    napi_get_value_int32(env, field, &verdict);
    bool fallback = false, binding = false, guarding = false, reported = false;
    napi_get_named_property(env, entry, "fallback", &field);
    napi_get_value_bool(env, field, &fallback);
    napi_get_named_property(env, entry, "isBinding", &field);
    napi_get_value_bool(env, field, &binding);
    napi_get_named_property(env, entry, "isGuarding", &field);
    napi_get_value_bool(env, field, &guarding);
    napi_get_named_property(env, entry, "isReported", &field);
    napi_get_value_bool(env, field, &reported);
    napi_get_named_property(env, entry, "text", &field);
    napi_get_value_string_latin1(env, field, NULL, 0, &length);
    const void *table = NULL;
    size_t numbers = 0;
    napi_value entry_table;
    napi_get_named_property(env, entry, "table", &entry_table);
    napi_get_typedarray_info(env, entry_table, NULL, &numbers, (void **)&table, NULL, NULL);
    size_t table_at = (sizeof **rules + length + 1 + 1) & ~(size_t)1;
    rules[i] = malloc(table_at + numbers * sizeof(uint16_t));
    if (!rules[i]) abort();
    if (numbers) memcpy((char *)rules[i] + table_at, table, numbers * sizeof(uint16_t));
    rules[i]->table = (const uint16_t *)((char *)rules[i] + table_at);
    rules[i]->match = (enum path_match)match;
    rules[i]->operations = operations;
    rules[i]->verdict = (enum path_verdict)verdict;
    rules[i]->fallback = fallback;
    rules[i]->binding = binding;
    rules[i]->guarding = guarding;
    rules[i]->reported = reported;
    rules[i]->length = length;
    napi_get_value_string_latin1(env, field, rules[i]->text, length + 1, &length);
  }
  paths_set_rules(rules, count);
  return NULL;
}

/* matchPath(path, operation) -> [verdict, index of the rule]: the C matcher, for tests against the TypeScript one. */
napi_value match_path(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char path[4097];
  size_t length = 0;
  napi_get_value_string_latin1(env, call.arguments[0], path, sizeof path, &length);
  struct path_decision decision = paths_match(path, length, int_of(&call, 1), false);
  napi_value result;
  napi_create_array(env, &result);
  napi_set_element(env, result, 0, number(env, decision.verdict));
  napi_set_element(env, result, 1, number(env, decision.rule));
  return result;
}

/* setSkips([name]): executables left alone. */
napi_value set_skips(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  char **names = calloc(count + 1, sizeof *names);
  for (uint32_t i = 0; names && i < count; i++) {
    napi_value entry;
    char name[256];
    size_t length = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_value_string_latin1(env, entry, name, sizeof name, &length);
    names[i] = strdup(name);
  }
  process_set_skips(names, count); /* set once: the old array is never freed while receivers read it */
  return NULL;
}

napi_value set_native_port(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_set_native_port((uint16_t)int_of(&call, 0), bool_of(&call, 1));
  return NULL;
}
napi_value set_relay_port(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_set_relay((uint16_t)int_of(&call, 0));
  return NULL;
}
napi_value want_reports(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  report_want((enum report_level)int_of(&call, 0));
  return NULL;
}
napi_value hide_nscd(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  sockets_hide_nscd(bool_of(&call, 0));
  return NULL;
}
napi_value set_hostname(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char name[65];
  size_t length;
  napi_get_value_string_latin1(env, call.arguments[0], name, sizeof name, &length);
  uname_set(name);
  return NULL;
}

/* setName(table, port, other, local, peer) */
napi_value set_name(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct name name;
  address_of(&call, 3, &name.local);
  address_of(&call, 4, &name.peer);
  names_lock();
  names_set_locked((enum name_table)int_of(&call, 0), (uint16_t)int_of(&call, 1), (uint16_t)int_of(&call, 2), &name);
  names_unlock();
  return NULL;
}

/* nameNumber(table, port, other) -> which one it is, 0: none */
napi_value name_number(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, (double)names_number((enum name_table)int_of(&call, 0), (uint16_t)int_of(&call, 1),
                                          (uint16_t)int_of(&call, 2)));
}

/* forgetName(table, port, number): if it is that one still. */
napi_value forget_name(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  names_forget((enum name_table)int_of(&call, 0), (uint16_t)int_of(&call, 1), (uint64_t)number_of(&call, 2));
  return NULL;
}

/* setRemote(rootFd, device as BigInt, hintFd, isReadOnly, isAsked, prefix or ""): -1, 0n, -1 when there is none (any more). */
napi_value set_remote(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct remote_root root = {.fd = int_of(&call, 0), .read_only = bool_of(&call, 3), .asks = bool_of(&call, 4)};
  uint64_t device = 0;
  bool lossless;
  napi_get_value_bigint_uint64(env, call.arguments[1], &device, &lossless);
  root.device = (dev_t)device;
  char prefix[LONGEST_PATH] = "";
  size_t length = 0;
  napi_get_value_string_latin1(env, call.arguments[5], prefix, sizeof prefix, &length);
  if (length > 0) root.prefix = strdup(prefix);
  remote_set(root, int_of(&call, 2));
  return NULL;
}

