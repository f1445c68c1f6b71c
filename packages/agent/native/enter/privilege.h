// Giving rights away, for the three children of inpod-enter.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { MAX_GROUPS = 256 };

struct ids {
  uid_t uid;
  gid_t gid;
  gid_t groups[MAX_GROUPS];
  size_t group_count;
};

// Whether an id means something in our user namespace (user_namespaces(7)).
bool is_uid_mapped(uid_t uid);
bool is_gid_mapped(gid_t gid);

// What no execve can ever give again; to be called before become(), which takes the capability away that this
// needs. Best effort: agents in Kubernetes have no CAP_SETPCAP, and there keep_only() alone holds the line, as
// with no_new_privs execve gives nothing that is not permitted already, to uid 0 neither. -1: keep none.
void limit_bounding_set(int capability);

// Real, effective, saved and filesystem ids and the groups. 0 or errno.
int become(const struct ids *ids);

// Leaves only `capability` (-1: none), for execve too, and sets no_new_privs. 0 or errno.
int keep_only(int capability);
bool has_capability(int capability);

// SIGKILL when the parent ends. Call it after all changes of credentials, which clear it (prctl(2)).
void die_with(pid_t parent);
