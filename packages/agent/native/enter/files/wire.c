#include "wire.h"
#include <stdlib.h>
#include <string.h>

static void take(struct in *in, void *value, size_t size) {
  memset(value, 0, size);
  if (in->is_bad || (size_t)(in->end - in->at) < size) {
    in->is_bad = true;
    return;
  }
  memcpy(value, in->at, size);
  in->at += size;
}

uint8_t in_u8(struct in *in) {
  uint8_t value;
  take(in, &value, sizeof value);
  return value;
}

uint16_t in_u16(struct in *in) {
  uint16_t value;
  take(in, &value, sizeof value);
  return value;
}

uint32_t in_u32(struct in *in) {
  uint32_t value;
  take(in, &value, sizeof value);
  return value;
}

uint64_t in_u64(struct in *in) {
  uint64_t value;
  take(in, &value, sizeof value);
  return value;
}

void in_text(struct in *in, char *text, size_t room) {
  size_t length = in_u16(in);
  *text = 0;
  if (in->is_bad || !length || length >= room || (size_t)(in->end - in->at) < length ||
      memchr(in->at, 0, length)) {
    in->is_bad = true;
    return;
  }
  memcpy(text, in->at, length);
  text[length] = 0;
  in->at += length;
}

static bool is_name(const char *name, size_t length) {
  return length && !(length == 1 && name[0] == '.') && !(length == 2 && name[0] == '.' && name[1] == '.');
}

void in_path(struct in *in, char path[PATH_ROOM]) {
  in_text(in, path, PATH_ROOM);
  if (in->is_bad) return;
  bool is_good = *path == '/';
  for (const char *at = path; is_good && path[1] && *at;) {
    size_t length = strcspn(++at, "/");
    is_good = is_name(at, length);
    at += length;
  }
  if (is_good) return;
  in->is_bad = true;
  *path = 0;
}

bool in_is_over(const struct in *in) { return !in->is_bad && in->at == in->end; }

void *out_space(struct out *out, size_t size) {
  if (out->is_lost) return NULL;
  if (size > out->room - out->length) {
    size_t room = out->room * 2 > out->length + size ? out->room * 2 : out->length + size;
    uint8_t *larger = realloc(out->bytes, room);
    if (!larger) {
      out->is_lost = true;
      return NULL;
    }
    out->bytes = larger;
    out->room = room;
  }
  void *space = out->bytes + out->length;
  out->length += size;
  return space;
}

void out_bytes(struct out *out, const void *bytes, size_t size) {
  void *space = out_space(out, size);
  if (space && size) memcpy(space, bytes, size);
}

void out_u8(struct out *out, uint8_t value) { out_bytes(out, &value, sizeof value); }
void out_u32(struct out *out, uint32_t value) { out_bytes(out, &value, sizeof value); }
void out_u64(struct out *out, uint64_t value) { out_bytes(out, &value, sizeof value); }

void out_text(struct out *out, const char *text, size_t length) {
  uint16_t size = length;
  out_bytes(out, &size, sizeof size);
  out_bytes(out, text, length);
}

void out_cut(struct out *out, size_t length) {
  if (!out->is_lost) out->length = length;
}
