// To Node: whole messages, one after the other, whoever sends them. Never returns when Node is gone.
#pragma once
#include <stddef.h>

void send_all(const void *bytes, size_t size);
