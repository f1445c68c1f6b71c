// Finds a container's main process by what every runtime has: the container's id in its cgroup's path.
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Bytes read of a /proc file; more is cut, the end is a NUL. Length, or -errno.
ssize_t read_proc(int proc_fd, const char *path, char *buffer, size_t size);

// The process whose NSpid ends in 1, else the oldest (a container in its pod's pid namespace).
// 0: none until the deadline.
pid_t find_container(const char *container_id, int64_t timeout_ms);

// The same, of a container of this pod and of no other, if it is there now.
pid_t find_container_of_pod(const char *container_id, const char *pod_uid);

// Whether the process's cgroup is that of this container of this pod. `proc_fd`: its directory in /proc.
bool is_of_container(int proc_fd, const char *container_id, const char *pod_uid);

// Any process of the pod, for its network: the pause process outlives crashing containers.
pid_t find_pod(const char *pod_uid);
