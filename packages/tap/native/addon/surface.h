/* What the files of the addon's surface share: values from and to JavaScript, and the functions that module.c exports. */
#pragma once
#define NAPI_VERSION 8
#include "tap.h"
#include <node_api.h>
#include <string.h>

static inline napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}
static inline napi_value text(napi_env env, const char *value) {
  napi_value result;
  napi_create_string_latin1(env, value, NAPI_AUTO_LENGTH, &result);
  return result;
}
static inline napi_value boolean(napi_env env, bool value) {
  napi_value result;
  napi_get_boolean(env, value, &result);
  return result;
}
static inline void put(napi_env env, napi_value object, const char *name, napi_value value) {
  napi_set_named_property(env, object, name, value);
}

enum { MAX_ARGUMENTS = 7 };
struct call {
  napi_env env;
  napi_value arguments[MAX_ARGUMENTS];
};
/* `data`: what the function was made with; or NULL. */
static inline struct call call_with(napi_env env, napi_callback_info info, void **data) {
  struct call call = {.env = env};
  size_t count = MAX_ARGUMENTS;
  napi_get_cb_info(env, info, &count, call.arguments, NULL, data);
  return call;
}
static inline struct call call_of(napi_env env, napi_callback_info info) { return call_with(env, info, NULL); }
static inline double number_of(const struct call *call, int index) {
  double value = 0;
  napi_get_value_double(call->env, call->arguments[index], &value);
  return value;
}
static inline int int_of(const struct call *call, int index) { return (int)number_of(call, index); }
static inline bool bool_of(const struct call *call, int index) {
  bool value = false;
  napi_get_value_bool(call->env, call->arguments[index], &value);
  return value;
}
static inline uint64_t token_of(const struct call *call) { return (uint64_t)number_of(call, 0); }
static inline void bytes_of(const struct call *call, int index, void **data, size_t *length) {
  *data = NULL;
  *length = 0;
  napi_get_buffer_info(call->env, call->arguments[index], data, length);
}
static inline bool address_of(const struct call *call, int index, struct sockaddr_storage *into) {
  void *data;
  size_t length;
  memset(into, 0, sizeof *into);
  bool is_buffer = false;
  napi_is_buffer(call->env, call->arguments[index], &is_buffer);
  if (!is_buffer) return false;
  bytes_of(call, index, &data, &length);
  if (length > sizeof *into) return false;
  memcpy(into, data, length);
  return true;
}

/* events.c */
extern napi_threadsafe_function to_js;
void call_js(napi_env env, napi_value callback, void *context, void *data);

/* memory-files.c: a sealed, read-only memfd with that content, or -errno */
int sealed_file(const char *name, const char *content, size_t length, mode_t mode, int64_t mtime_ns);
napi_value environment_file(napi_env env, napi_callback_info info);

/* visitors.c */
napi_value open_door(napi_env env, napi_callback_info info);
napi_value close_door(napi_env env, napi_callback_info info);
napi_value tell(napi_env env, napi_callback_info info);

/* nodes.c */
/* doors.c */
napi_value probe_doors(napi_env env, napi_callback_info info);
napi_value make_node(napi_env env, napi_callback_info info);
napi_value set_times(napi_env env, napi_callback_info info);

/* answers.c: each takes the op that the first argument names, and what it returns is the result */
int reply(const struct call *call, struct op *op);
int continue_natively(const struct call *call, struct op *op);
int continue_here(const struct call *call, struct op *op);
int reply_stat(const struct call *call, struct op *op);
int reply_readlink(const struct call *call, struct op *op);
int serve_remote_js(const struct call *call, struct op *op);
int serve_local_js(const struct call *call, struct op *op);
int reply_file(const struct call *call, struct op *op);
int reply_descriptor(const struct call *call, struct op *op);
int bind_socket(const struct call *call, struct op *op);
int bind_as_asked(const struct call *call, struct op *op);
int reply_bound(const struct call *call, struct op *op);
int listen_socket(const struct call *call, struct op *op);
int reply_relayed(const struct call *call, struct op *op);
int start_pending(const struct call *call, struct op *op);
int verdict_connected_js(const struct call *call, struct op *op);
int reply_unix(const struct call *call, struct op *op);
int reply_connected_datagram(const struct call *call, struct op *op);
int reply_sent_to(const struct call *call, struct op *op);

/* ends.c, tables.c, destinations.c: each documented where it is */
napi_value complete_pending(napi_env env, napi_callback_info info);
napi_value fail_pending(napi_env env, napi_callback_info info);
napi_value ask_unix(napi_env env, napi_callback_info info);
napi_value refuse_datagram(napi_env env, napi_callback_info info);
napi_value connect_to_user(napi_env env, napi_callback_info info);
napi_value listening_ports(napi_env env, napi_callback_info info);
napi_value set_path_rules(napi_env env, napi_callback_info info);
napi_value match_path(napi_env env, napi_callback_info info);
napi_value set_remote(napi_env env, napi_callback_info info);
napi_value set_skips(napi_env env, napi_callback_info info);
napi_value set_native_port(napi_env env, napi_callback_info info);
napi_value set_destinations(napi_env env, napi_callback_info info);
napi_value is_local_destination(napi_env env, napi_callback_info info);
napi_value set_relay_port(napi_env env, napi_callback_info info);
napi_value hide_nscd(napi_env env, napi_callback_info info);
napi_value want_reports(napi_env env, napi_callback_info info);
napi_value set_hostname(napi_env env, napi_callback_info info);
napi_value set_name(napi_env env, napi_callback_info info);
napi_value name_number(napi_env env, napi_callback_info info);
napi_value forget_name(napi_env env, napi_callback_info info);
