/*
 * Whatever arrives at this network namespace, for whichever address and port, comes to one of four sockets (BPF's
 * sk_lookup, Linux 5.9). An accepted socket's own name is then what its client has connected to. Nothing of netfilter
 * is needed, neither rules nor programs.
 */
#pragma once

enum { TCP_4, UDP_4, TCP_6, UDP_6, SOCKETS };

/*
 * `sockets`: bound; -1 for those there are not. Holds until the last descriptor of it is closed.
 * The descriptor or -errno, with what was refused in `step`.
 */
int lookup_attach(const int sockets[SOCKETS], int network_namespace, const char **step);
