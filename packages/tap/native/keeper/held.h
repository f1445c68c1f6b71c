#pragma once
#include <linux/seccomp.h>

/* `memory`: what inpod wrote, by its descriptor. Without it nothing was held, as far as can be known. */
void held_open(int memory);
/* Once, when inpod has ended: answers every call that it had received and not answered. */
void held_answer_all(int listener, void (*seen)(int tid));
/* What inpod had answered while a signal had taken the call away; else that the call is to be continued. */
struct seccomp_notif_resp held_answer(const struct seccomp_notif *notif);
