#pragma once
/* Whether the process was started inside the session whose mark this is ("INPOD_SESSION=…"). Zombies do not count. */
int has_mark(const char *pid, const char *mark);
