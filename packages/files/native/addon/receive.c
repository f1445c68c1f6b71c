/*
 * Packets of a descriptor, read in the loop of the thread that asks: no reader thread whose wake-up each batch would
 * pay for, and none of libuv's pool, which may be full of opens that wait for this very reader.
 */
#include "addon.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Of uv.h, which node-api-headers does not have. All are part of libuv 1's ABI, and exported by node. */
struct uv_loop_s;
typedef void poll_handle;
enum { POLL_HANDLE_TYPE = 8, READABLE = 1 };
extern size_t uv_handle_size(int type);
extern void *uv_handle_get_data(const void *handle);
extern void uv_handle_set_data(void *handle, void *data);
extern int uv_poll_init(struct uv_loop_s *loop, poll_handle *handle, int fd);
extern int uv_poll_start(poll_handle *handle, int events, void (*callback)(poll_handle *, int, int));
extern int uv_poll_stop(poll_handle *handle);
extern void uv_close(void *handle, void (*callback)(void *));

/* Others of the loop get their turn after so many full slabs. */
enum { ROUNDS = 16, HEAD = 8 };

struct receiver {
  poll_handle *handle;
  napi_env env;
  napi_async_context context;
  napi_ref resource, callback, slab_reference;
  uint8_t *slab;
  size_t slab_bytes, packet_bytes;
  int fd;
  bool has_ended;
};

static void tell(struct receiver *r, double value) {
  napi_value callback, resource, argument = number(r->env, value), result;
  napi_get_reference_value(r->env, r->callback, &callback);
  napi_get_reference_value(r->env, r->resource, &resource);
  if (napi_make_callback(r->env, r->context, resource, callback, 1, &argument, &result) != napi_pending_exception)
    return;
  napi_value thrown;
  napi_get_and_clear_last_exception(r->env, &thrown);
  napi_fatal_exception(r->env, thrown);
}

/* Each packet: u32 its length · u32 0 · its bytes · up to the next multiple of 8. */
static size_t read_packets(struct receiver *r, int *error) {
  size_t used = 0;
  while (used + HEAD + r->packet_bytes <= r->slab_bytes) {
    ssize_t got = read(r->fd, r->slab + used + HEAD, r->packet_bytes);
    if (got > 0) {
      uint32_t head[2] = {(uint32_t)got, 0};
      memcpy(r->slab + used, head, sizeof head);
      used += HEAD + (((size_t)got + 7) & ~(size_t)7);
      continue;
    }
    /* ENOENT: the request was taken back between waking and reading. */
    if (got < 0 && (errno == EINTR || errno == ENOENT)) continue;
    if (got == 0) *error = ECONNRESET;
    else if (errno != EAGAIN) *error = errno;
    break;
  }
  return used;
}

static void on_readable(poll_handle *handle, int status, int events) {
  (void)events;
  struct receiver *r = uv_handle_get_data(handle);
  napi_handle_scope scope;
  napi_open_handle_scope(r->env, &scope);
  int error = status < 0 ? -status : 0;
  for (int round = 0; !error && !r->has_ended && round < ROUNDS; round++) {
    size_t used = read_packets(r, &error);
    if (used == 0) break;
    tell(r, (double)used);
  }
  if (error && !r->has_ended) {
    r->has_ended = true;
    uv_poll_stop(handle);
    tell(r, -(double)error);
  }
  napi_close_handle_scope(r->env, scope);
}

/*
 * receive(fd, slab, packetBytes, callback) -> what stopReceiving takes, or a negative errno. The callback is given
 * the bytes of the slab that are packets now, and at the end once a negative errno. It owns the slab until it returns.
 */
napi_value receive(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  struct receiver *r = calloc(1, sizeof *r);
  if (!r) return number(env, -ENOMEM);
  r->env = env;
  r->fd = int_of(&call, 0);
  r->packet_bytes = (size_t)int_of(&call, 2);
  bytes_of(&call, 1, &r->slab, &r->slab_bytes);
  struct uv_loop_s *loop;
  napi_get_uv_event_loop(env, &loop);
  r->handle = calloc(1, uv_handle_size(POLL_HANDLE_TYPE));
  fcntl(r->fd, F_SETFL, fcntl(r->fd, F_GETFL) | O_NONBLOCK);
  int error = r->handle ? uv_poll_init(loop, r->handle, r->fd) : -ENOMEM;
  if (error) {
    free(r->handle);
    free(r);
    return number(env, error);
  }
  uv_handle_set_data(r->handle, r);
  napi_value resource, name, result;
  napi_create_object(env, &resource);
  napi_create_string_latin1(env, "inpod-files", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, resource, name, &r->context);
  napi_create_reference(env, resource, 1, &r->resource);
  napi_create_reference(env, call.arguments[1], 1, &r->slab_reference);
  napi_create_reference(env, call.arguments[3], 1, &r->callback);
  uv_poll_start(r->handle, READABLE, on_readable);
  napi_create_external(env, r, NULL, NULL, &result);
  return result;
}

static void closed(void *handle) {
  struct receiver *r = uv_handle_get_data(handle);
  napi_async_destroy(r->env, r->context);
  napi_delete_reference(r->env, r->resource);
  napi_delete_reference(r->env, r->callback);
  napi_delete_reference(r->env, r->slab_reference);
  free(r->handle);
  free(r);
}

/* stopReceiving(what receive() returned), once: nothing is said any more, and the caller may close the descriptor. */
napi_value stop_receiving(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  void *receiver = NULL;
  if (napi_get_value_external(env, call.arguments[0], &receiver) != napi_ok) return NULL;
  struct receiver *r = receiver;
  r->has_ended = true;
  uv_poll_stop(r->handle);
  uv_close(r->handle, closed);
  return NULL;
}
