/* What the addon's files share: values from and to JavaScript, and the functions that module.c exports. */
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define NAPI_VERSION 8
#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline napi_value number(napi_env env, double value) {
  napi_value result;
  napi_create_double(env, value, &result);
  return result;
}

enum { MAX_ARGUMENTS = 6 };
struct call {
  napi_env env;
  size_t count;
  napi_value arguments[MAX_ARGUMENTS];
};
static inline struct call call_of(napi_env env, napi_callback_info info) {
  struct call call = {.env = env, .count = MAX_ARGUMENTS};
  napi_get_cb_info(env, info, &call.count, call.arguments, NULL, NULL);
  return call;
}
static inline int int_of(const struct call *call, int index) {
  int32_t value = -1;
  napi_get_value_int32(call->env, call->arguments[index], &value);
  return value;
}
static inline void bytes_of(const struct call *call, int index, uint8_t **data, size_t *length) {
  void *start = NULL;
  *length = 0;
  if (napi_get_buffer_info(call->env, call->arguments[index], &start, length) != napi_ok) *length = 0;
  *data = start;
}

/* receive.c */
napi_value receive(napi_env env, napi_callback_info info);
napi_value stop_receiving(napi_env env, napi_callback_info info);
/* notify.c */
napi_value start_notifier(napi_env env, napi_callback_info info);
napi_value notify(napi_env env, napi_callback_info info);
/* descriptors.c */
napi_value socket_pair(napi_env env, napi_callback_info info);
napi_value send_descriptors(napi_env env, napi_callback_info info);
napi_value receive_descriptors(napi_env env, napi_callback_info info);
napi_value clone_device(napi_env env, napi_callback_info info);
