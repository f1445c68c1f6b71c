/* The little of strings that is needed. */
#pragma once
#include <stddef.h>

static inline size_t text_length(const char *text) {
  size_t length = 0;
  while (text[length]) length++;
  return length;
}

/* What follows `prefix`, or NULL. */
static inline const char *text_after(const char *text, const char *prefix) {
  for (; *prefix; text++, prefix++)
    if (*text != *prefix) return NULL;
  return text;
}

/* The digits at the beginning; `*end` is behind them. */
static inline long text_number(const char *text, const char **end) {
  long number = 0;
  for (; *text >= '0' && *text <= '9' && number < 100000000; text++) number = number * 10 + (*text - '0');
  *end = text;
  return number;
}
