/* Programs of which a person is told: what they cannot do here, or inpod cannot with them. */
#pragma once
#include "tap.h"

/* By its path, or its name where that is closed to us. */
void emit_limited_program(pid_t tid, const char *why);
/* "setuid" or "capabilities", if no_new_privs takes them from the program that the thread runs. */
void program_tell_privileges(pid_t tid, const char *executable);
/* seccomp(2) for a listener of the program's own. Goes on natively, to EBUSY. */
bool handle_seccomp(struct op *op);
