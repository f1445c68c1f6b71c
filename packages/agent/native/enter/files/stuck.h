// Requests that do not come back: a network filesystem whose server is gone, a FUSE filesystem that nobody serves.
// Who asks again after his patience is over would take one thread after the other, and so is told at once.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include "request.h"

// All with the queue's lock held.
void stuck_began(struct request *request);
void stuck_ended(struct request *request);
int stuck_count(uint16_t session);
// Whether this one would wait where others have been waiting for long.
bool stuck_would(const struct request *request);
