/*
 * The tap's native side: threads that receive trapped calls, tables that decide what needs no TypeScript,
 * and the answers. Policy is in the tables; TypeScript fills them (../../src/index.ts).
 *
 * Rules of the house:
 *  - there is always a thread that receives, or will be in a moment: what waits goes to the pool or to epoll, or the thread
 *    that received it is replaced before (receive_may_block); what turns out to wait has its thread replaced (crew.c);
 *  - the JS thread never touches the user's memory, nor a descriptor that may be a file of the pod's;
 *  - every call that is held has a deadline and a default answer;
 *  - after acting on a call it is never continued natively: not by us, and not by the keeper, which is told before
 *    (kept_acting).
 */
#pragma once
#define _GNU_SOURCE
#include "kept.h"
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ---- op.c: a trapped call from its notification to its answer ---- */

struct file_id {
  uint64_t inode;
  uint32_t major, minor; /* of its device */
};

enum op_kind { OP_CONNECT = 1, OP_BIND, OP_LISTEN, OP_SENDTO, OP_PATH, OP_NATIVE };

struct op {
  uint64_t id; /* of the notification; another one after the call was interrupted and restarted */
  int listener;
  pid_t tid, tgid;
  int nr;
  uint64_t args[6];
  bool compat; /* of a 32-bit program: number and arguments are translated, what they point at is not */
  uint32_t slot, generation;
  bool held;
  bool claimed;  /* one thread is at work on it: nobody else may answer or free it */
  bool answering; /* its notification is being answered: no other one may join */
  bool finished; /* answered while nobody waited; kept for the restarted call */
  enum op_kind kind;
  int64_t deadline_ns;  /* CLOCK_MONOTONIC; 0: none */
  int default_error;    /* answer at the deadline; 0: continue natively */
  int64_t value;        /* of a finished op, kept for the restarted call */
  int error;
  int64_t since_ns;     /* when its notification, the last of them, came */
  bool is_left;         /* we have let the thread go, and it has not come again */
  bool was_given;       /* a descriptor, while it waited: see thread_is_signalled() */
  bool keep_result;     /* whether it acted, so that a restarted call must get the same answer */
  struct told *told;    /* what was written for it */
  bool has_joined;      /* the call was made again: what was written before may have been for nobody */
  bool waiting;         /* for its socket to become readable */
  bool watched;         /* registered in epoll */
  /* sockets: a duplicate of the process's own, or -1 */
  int socket;
  uint64_t cookie;
  int domain, type, protocol;
  bool nonblocking, v6only;
  struct sockaddr_storage address;
  socklen_t address_length;
  struct sockaddr_storage local; /* of a connect: where the program believes the socket to be */
  uint16_t port;      /* of an accept: at which its listener is really bound */
  bool is_fast_open;  /* a connect that sends when it has succeeded */
  bool is_unreadable; /* the address is where nothing can be read */
  uint8_t *payload;
  size_t payload_length, control_length; /* control data of a message stands behind its payload */
  /* paths (paths.h) */
  char *path, *second_path; /* what the rules are about: by them a restarted call is known, too */
  int flags, operation, rule;
  struct path_work *work; /* of one that TypeScript was asked about */
  int kept_fd;            /* of a finished open, for the restarted call; -1: none */
  bool kept_cloexec;
  bool is_given;       /* of a finished one: `value` is a descriptor that the process has already */
  struct file_id given; /* of which file */
  int inject_at; /* the number that the process is to have it at; 0: any */
  struct op *next;
};

int64_t now_ns(void);
/*
 * A new op for a notification, or NULL: table full; or (joined) it is taken care of: the call has joined an op in flight, or
 * is no more. Paths: or NULL.
 */
struct op *op_new(int listener, const struct seccomp_notif *notif, pid_t tgid, const char *path, const char *second,
                  bool *joined);
/* made-again.c. Of the same thread's call, or false. Paths: of a path call, what the pointers in its arguments pointed at. */
bool op_is_made_again(const struct op *op, const struct seccomp_notif *notif, int listener, const char *path,
                      const char *second);
/* Whether a call of that thread is held, or an answer of one is kept: its next one may be the same again. */
bool op_is_held_of(pid_t tid);
uint64_t op_token(const struct op *op);
/* Makes the op of a token the caller's alone; NULL when it was answered, has expired, or is another's. */
struct op *op_claim(uint64_t token);
/* Gives a claimed op back to whoever claims it next (op_new returns a claimed one). Its token, for that. */
uint64_t op_unclaim(struct op *op);
/* The same, to who waits in that epoll(7) for its socket. */
void op_unclaim_to(struct op *op, int epoll, uint32_t events);
/* These take a claimed op. Answers and frees. -ENOENT: nobody waits any more. `error` is a positive errno. */
int op_reply(struct op *op, int64_t value, int error);
int op_continue(struct op *op);
/*
 * Installs `fd` in the process as the call's result; closes our `fd`. 0 or -errno; -ENOENT leaves `fd` open and the op alive.
 */
int op_inject(struct op *op, int fd, bool cloexec);
/* The same, but `fd` is always taken: with keep_result the restarted call gets it. */
int op_inject_or_keep(struct op *op, int fd, bool cloexec);
/* given.c: descriptors for the program. */
/* Installs a copy of `fd` in the process, with CLOEXEC, while the call goes on waiting. Its number or -errno. */
int op_give(struct op *op, int fd);
int op_give_at(struct op *op, int fd, int number);
/*
 * Installs a copy of `fd` (at op->inject_at, if that is not 0), and answers the notification `id` with its number. 0 or -errno.
 * After -ENOENT it may have been installed all the same: op->is_given. `fd` stays the caller's.
 */
int given_as_answer(struct op *op, uint64_t id, int fd, bool cloexec);
/* Of one that is_given: it is the process's still, also when that has executed something meanwhile. */
bool given_is_there(const struct op *op);
/* told.c: all that is written into the program's memory as part of a call's answer, last of all before the answer. */
/*
 * 0 or -errno; 0, too, when nobody waits any more: then nothing is written, because a program that has gone on without the
 * answer has other things there. May block: see receive_run().
 */
int op_tell(struct op *op, uint64_t address, const void *from, size_t length);
/* As the kernel's move_addr_to_user: value-result length, truncated copy. */
int op_tell_address(struct op *op, uint64_t address, uint64_t length_address, const struct sockaddr_storage *from,
                    socklen_t length);
/* A claimed op that has finished before: tells all of it to the restarted call, and answers. */
void op_tell_again(void *op);
void told_free(struct told *told);
/* All that is kept, once more. 0 or -errno. */
int told_write(struct op *op);
/* Frees without an answer (nobody waits, and nobody can have joined: op_inject() has failed, say). */
void op_drop(struct op *op);
/* If nobody waits: frees, and true. A restarted call either has joined before, and waits, or is a new one. */
bool op_drop_unawaited(struct op *op);
bool op_is_valid(const struct op *op);
/*
 * Takes the thread out of its call as a signal would; the op stays, for the call that is made again. Only where
 * thread_is_signalled(), or when ptrace(2) has interrupted it: else the program would see ERESTARTSYS. False: nobody waited.
 */
bool op_let_go(struct op *op);

/* ---- interrupt.c: who waits and is wanted elsewhere ---- */

/* Whether a signal, a stop or a tracer has come for the thread since it waits. */
bool thread_is_signalled(const struct op *op);
bool thread_is_stopped(const struct op *op);
/* Of a claimed op: whether it is; then it has been let go, and the op is gone. */
bool op_gives_way(struct op *op);
/*
 * Before what cannot be done twice: from here on the answer reaches the thread, whatever signals come (since Linux 5.19).
 * A wait that follows cannot be let go, so only who has something to receive settles.
 */
void op_settle(struct op *op);
void op_settle_to_receive(struct op *op);
void interrupt_start(void);
/* For interrupt.c: those that may be let go, from a place on that is moved; and the deed. */
struct held_call {
  uint64_t token, id;
  struct op *op;
  pid_t tid, tgid;
};
size_t op_list_interruptible(struct held_call *into, size_t room, int *from);
void op_interrupt(const struct held_call *call);
/* Returns when some op is held. */
void op_await_held(void);
/* Whether a connect of the socket with this cookie is in flight from which a signal has taken the program away. */
/* Those of this socket that a signal took away, and that were not made again: the kernel would have undone them. */
void op_give_up_connects(uint64_t cookie);
bool op_connects_unawaited(uint64_t cookie);
void op_set_deadline(struct op *op, int64_t ms, int default_error);
void op_start_sweeper(void);
enum { OP_LOCAL_MS = 10000 }; /* for what TypeScript decides without the agent */
/* Hands a claimed op to TypeScript. */
void op_ask(struct op *op, enum op_kind kind, int64_t deadline_ms, int default_error);
bool notification_is_valid(int listener, uint64_t id);
int notification_continue(int listener, uint64_t id);
/* The same, counted among those that were looked at and are not ours. */
int notification_let_go(int listener, uint64_t id);
int notification_reply(int listener, uint64_t id, int64_t value, int error);

/* ---- kept.c: what the keeper must know when we are killed (../kept.h) ---- */

/* Once, before all else. A negative errno: without it held calls are lost when we are killed. */
int kept_start(void);
/* The memory as a file, for the keeper; negative: none. */
int kept_descriptor(void);
/* Where a receiver has its notifications written to; never NULL but without memory. */
struct seccomp_notif *kept_hand(void);
void kept_hand_empty(struct seccomp_notif *hand);
void kept_hand_back(struct seccomp_notif *hand);
void kept_hold(const struct op *op);
void kept_rename(const struct op *op);
void kept_release(const struct op *op);
/*
 * Before something is done in the program's name: if we are killed from now on, the call is not continued
 * natively but answered like this. kept_undone(): nothing was done after all.
 */
void kept_acting(const struct op *op, int64_t value, int error);
void kept_undone(const struct op *op);
void kept_unheard(const struct op *op);

/* ---- pool.c: threads that may block ---- */

/* Runs `run(argument)` on a pool thread; at most 256 at once, the rest queue. */
void pool_run(void (*run)(void *), void *argument);
int thread_start(void *(*run)(void *), void *argument);

/* ---- memory.c: the user's memory ---- */

/* Bytes read (may be short at an unmapped page), or -errno. */
ssize_t memory_read(pid_t tid, uint64_t address, void *into, size_t length);
ssize_t memory_read_string(pid_t tid, uint64_t address, char *into, size_t size);
/*
 * May block (a page of a file of the pod's): see receive_run(). 0 or -errno. Of a thread that does not wait for an answer:
 * else op_tell().
 */
int memory_write(pid_t tid, uint64_t address, const void *from, size_t length);
/* Two pieces by one call, in this order; after an error the first may have been written. */
int memory_write_both(pid_t tid, uint64_t address, const void *from, size_t length, uint64_t second_address,
                      const void *second, size_t second_length);

/* arguments.c: how many arguments it has. What a program leaves in the registers of the others changes from call to call. */
unsigned call_arguments(int nr);

/* ---- process.c: who calls ---- */

/* The process of a thread, or 0 when it is gone. */
pid_t process_of(pid_t tid);
struct process_look {
  pid_t tgid;    /* 0: it is gone */
  bool is_alone; /* no other thread */
};
/* The same, of one that is held in execve: nothing is remembered. */
struct process_look process_look(pid_t tid);
/*
 * Whether the tap leaves this process alone (skip_build_tools, skip_processes); cached until its next exec. "program" tells of
 * it once. `executes`: it is another one in a moment, most often after a fork, and is told to who wants all.
 */
bool process_is_skipped(pid_t tid, pid_t tgid, bool executes);
void process_executes(pid_t tid, struct process_look before);
/* roots.c: whether its absolute names are of a root directory of its own; root_changes: it is about to change that. */
bool root_is_other(pid_t tid, pid_t tgid);
void root_changes(pid_t tgid);
/* A duplicate of the process's descriptor, or -errno. */
int process_get_fd(pid_t tgid, int fd);
/* The kernel does not let us look into the process (EPERM): told once for each program. */
void process_is_closed(pid_t tid);
void process_set_skips(char **names, size_t count);
/* Closes what is held of processes that are over. One thread only, now and then. */
void process_forget_ended(void);

/* ---- names.c and address.c: what is known of sockets ---- */

struct name {
  struct sockaddr_storage local, peer;
};
struct cookie_entry {
  uint64_t cookie;
  bool bound, udp, pending;
  bool is_unix; /* connected to us in the place of `requested` */
  socklen_t requested_length;
  bool failed; /* the connect in progress has, behind the program's back */
  struct sockaddr_storage requested;
  int domain;    /* of one that is bound */
  uint16_t port; /* at which it is really bound */
  int error;
};

enum name_table { NAME_OUTGOING, NAME_INCOMING, NAME_UDP };
void names_lock(void);
void names_unlock(void);
/*
 * Call names_lock() around connect + set where somebody could look in between. `other`: the port at the other end of
 * the connection, because connect(2) gives a port to several connections that lead to different ones; 0: of UDP.
 */
void names_set_locked(enum name_table table, uint16_t port, uint16_t other, const struct name *name);
bool names_get(enum name_table table, uint16_t port, uint16_t other, struct name *into);
/* Whether one of the pod's connections may wait to be accepted by a listener at that port. */
bool names_wait_at(uint16_t listener);
/* names_get() of a connection that was accepted. */
bool names_take(uint16_t port, uint16_t listener, struct name *into);
/* Whether any socket of the program's is connected to one of ours. */
bool names_have_peers(void);
/* Whether TCP or UDP sockets of the program's may be connected to one of ours at that port, other than the relay. */
bool names_have_peer(uint16_t port);
/*
 * Which one it is, 0: none. A port is another socket's as soon as its own is closed, and of that we hear later: so who forgets
 * says which one.
 */
uint64_t names_number(enum name_table table, uint16_t port, uint16_t other);
void names_forget(enum name_table table, uint16_t port, uint64_t number);
void cookie_update(uint64_t cookie, const struct cookie_entry *entry);
bool cookie_get(uint64_t cookie, struct cookie_entry *into);
void cookie_forget(uint64_t cookie);
/* No connect is in progress any more; that it is bound is not forgotten. */
void cookie_settle(uint64_t cookie);
/* Whether a TCP socket has ever been bound to a port of the pod. */
bool cookies_have_listeners(void);
/* Whether there has ever been a UDP socket with which one of ours speaks. */
bool cookies_have_datagrams(void);

/* Loopback of the socket's own family: 127.0.0.1, ::ffff:127.0.0.1 or ::1. */
socklen_t address_loopback(const struct op *op, uint16_t port, struct sockaddr_storage *into);
/* `from` in the form that a socket of `domain` sees (IPv4 becomes ::ffff:… on AF_INET6). */
socklen_t address_for_domain(int domain, const struct sockaddr_storage *from, struct sockaddr_storage *into);
uint16_t address_port(const struct sockaddr_storage *address);
bool address_is_loopback(const struct sockaddr_storage *address);

/* ---- sockets.c: what a socket of the program is ---- */

/* Fills op->socket and cookie from descriptor `fd` of the process. 0 or -errno. */
int socket_identify(struct op *op, int fd);
/* Fills op->socket, cookie, domain, type, … from descriptor `fd` of the process. 0 or -errno. */
int socket_describe(struct op *op, int fd);
bool socket_is_tcp(const struct op *op);
bool socket_is_udp(const struct op *op);
bool socket_is_nonblocking(int fd);
bool socket_is_readable(int fd);
/* The option's value, or -errno. */
int socket_option(int fd, int level, int name);
/* Copies the call's address into op->address; false: let the kernel say what is wrong with it. */
bool socket_read_address(struct op *op, int address_argument, int length_argument);
/* Whether the kernel takes such an address for it at all. */
bool socket_takes_family(const struct op *op);
bool address_read(struct op *op, uint64_t address, uint64_t length);
/*
 * Answers a call on a socket with EFAULT when what it points at cannot be read. Where that is a page of a remote file that
 * could not be had, the kernel would wait for it once more.
 */
bool socket_refuses_unreadable(struct op *op);
/* connect(2) to nscd's socket says ENOENT: it would answer with the developer's names. */
void sockets_hide_nscd(bool hide);
/* Ports (of the developer's machine) to which loopback connects stay native. */
void sockets_set_native_port(uint16_t port, bool native);
void sockets_set_relay(uint16_t relay_port);
uint16_t sockets_relay(void);

/* What to do about a connect to op->address, of a socket that was described; as handle_connect(). */
bool connect_begin(struct op *op);
/* destinations.c: whether a TCP connect stays on this machine by its address alone */
bool destination_is_local(const struct sockaddr_storage *address);

/* TypeScript decides about a connect, claimed. */
void connect_ask(struct op *op);

/* ---- waiting.c: for a socket ---- */

void wait_start(void);
/* Gives the claimed op away, to *_deliver() on events (EPOLLIN, EPOLLOUT), or to the sweeper. */
void wait_for(struct op *op, uint32_t events);
void wait_forget(int fd);
/* SO_RCVTIMEO or SO_SNDTIMEO in milliseconds; 0: waits for ever. */
int64_t wait_timeout_ms(int fd, int option);
/* May block; with a claimed op: what came is handed over, or waited for again. */
void accept_deliver(void *op);
void datagram_deliver(void *op);
void message_deliver(void *op);

/* ---- native-accepts.c: those that the kernel does ---- */

/* A thread makes a call: what it was let go with is over. */
void accepts_saw(pid_t tid);
/*
 * Whether a connection waits at the listener, and the kernel may accept it for this thread: the number of that, or 0.
 * `fd`: ours of the listener; `port`: where it really listens.
 */
uint64_t accepts_let_go(pid_t tid, int fd, uint16_t port);
/* The thread was not told, because it waits no more. */
void accepts_take_back(uint64_t number);
/* As accepts_let_go(); 0: we accept it, before accepts_end(). May block, if another thread accepts there. */
uint64_t accepts_begin(pid_t tid, int fd, uint16_t port, bool may_go);
void accepts_end(pid_t tid);
/*
 * Before one of the pod's connections is made, and after: whether all that were let go at that port are over, so that none of
 * them can get it; else it is to be tried again soon. Meanwhile none is let go.
 */
bool accepts_hold(uint16_t port);
void accepts_release(uint16_t port);

/* ---- restart.c ---- */

/* Wakes the thread, if it may be traced, from the call in which it sleeps: it makes it again, and that is told anew. */
void thread_restart_call(pid_t tid);

/* ---- datagrams.c, messages.c, here.c: UDP ---- */

/* Of an address of loopback: that somebody of this machine takes what is sent there, for a second. */
void here_remember(const struct sockaddr_storage *to);
bool here_is_known(const struct sockaddr_storage *to);

/* Whether TypeScript is to say where the datagram to op->address goes; describes the socket. */
bool datagram_is_asked(struct op *op);
/* Whether one of ours speaks with the call's socket; describes it. */
bool datagram_is_known(struct op *op);
/* Whom the program sees as the sender. */
socklen_t datagram_shown(const struct op *op, const struct sockaddr_storage *from, struct sockaddr_storage *shown);
/* Pool threads: sends the payload to op->address and answers. */
void datagram_send(void *op);
/* `fd`, of that domain, is connected to the relay: its next call says ECONNREFUSED. */
void datagram_refuse(int fd, uint16_t relay_port, const struct op *socket);

/* ---- unix.c: unix sockets of the pod ---- */

void unix_ask(bool asks);
bool unix_is_asked(struct op *op);
void unix_connect(struct op *op);

/* ---- fast-open.c: connects that send ---- */

bool fast_open_is_asked(const struct op *op);
bool fast_open_begin(struct op *op);
/* What was sent on `fd`, or -errno. */
ssize_t fast_open_send(struct op *op, int fd);
/* Pool threads: answers a connect (claimed) of the socket that `fd` is, too. As op_reply(). */
int connect_answer(struct op *op, int fd, int error);

/* ---- connect.c: connects in progress ---- */

/* The full listener to which they are made; 0 when the probe failed. */
uint16_t connect_prepare(void);
uint16_t connect_full_port(void);
/* Whether a blocking socket can be put in progress, too. */
bool connect_starts_blocking(void);
/* connect(2) to it on `fd`, the op's socket, without waiting: 0 or -errno (EINPROGRESS, EALREADY, EISCONN…). */
int connect_pending(const struct op *op, int fd);
/* Our end's fd, or -errno: the socket in progress at that port becomes connected. */
int connect_complete(uint16_t user_port, bool v6only);
/* Ends the progress: of the process's socket by its own descriptor, or from outside with a reset. */
void connect_give_up(int fd);
/* The same, and then it is a socket whose connect was refused. */
void connect_refuse(int fd, bool v6only);
void connect_reset(uint16_t user_port, bool v6only);
int poll_again(struct pollfd *waiting, int timeout_ms);

/* ---- verdicts.c: what became of them ---- */

/* The other end is on its way: answers a blocking connect (claimed), and emits "relayed". */
void verdict_connected(struct op *op);
/* The process's own descriptor, if it is that socket still; else -1. */
int same_socket(pid_t tgid, int fd, uint64_t cookie);
/* Fails it. `op`: the blocking connect (claimed) that is still held; NULL: none is. */
void verdict_failed(struct op *op, pid_t tgid, int fd, uint64_t cookie, uint16_t user_port, bool v6only, int error);
/* A second connect(2), claimed. Blocks only for loopback's round trip. */
void verdict_deliver(void *op);

/* Each handles one trapped call from a receiving thread; true: it was taken care of (the op may be gone). */
bool handle_connect(struct op *op);
bool handle_bind(struct op *op);
bool handle_listen(struct op *op);
bool handle_accept(struct op *op);
/*
 * Of getsockname and getpeername, before all else: true: the kernel's own answer is the true one, and it has been told to give
 * it. Else `*socket` is a duplicate of the process's, for the op.
 */
bool names_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket);
bool handle_names(struct op *op);
/* The same of accept: it may have been let go, or told that nobody is there. */
bool accept_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket);
bool handle_sendto(struct op *op);
bool handle_recvfrom(struct op *op);
bool handle_socket(struct op *op);
bool handle_udp_copy(struct op *op);
bool handle_udp_moved(struct op *op);
bool handle_sendmsg(struct op *op);
bool handle_recvmsg(struct op *op);
bool handle_socket_error(struct op *op);
/* Where nothing is to be told: see names_begin(). */
bool socket_error_begin(int listener, const struct seccomp_notif *notif, pid_t tgid, int *socket);
void handle_uname(struct op *op);
void uname_set(const char *nodename);

/* ---- files.c: answers of path calls ---- */

enum { STAT_FIELDS = 13 };
struct stat_answer {
  struct op *op;
  uint64_t fields[STAT_FIELDS];
};
void answer_stat(struct op *op, const uint64_t fields[STAT_FIELDS]);
void answer_readlink(struct op *op, const void *target, size_t length);

/* ---- receive.c ---- */

/* What becomes of a call. */
void receive_dispatch(int listener, const struct seccomp_notif *notif);
/* Of notifications. Each that was received ends as one of answered and cancelled, so their difference is what is held. */
struct tap_statistics {
  uint64_t received, answered;
  uint64_t cancelled; /* by a signal, or by the process's end */
  uint64_t expired;   /* answered at the deadline of a call that was not about waiting: something of ours was lost */
  uint64_t continued, joined, served;
};
extern struct tap_statistics statistics;
static inline void statistics_count(uint64_t *counter) { __atomic_add_fetch(counter, 1, __ATOMIC_RELAXED); }

/* ---- crew.c: who receives ---- */

/* Starts receiving on a listener, of which the caller keeps his; ends by itself when no process of the tree is left. */
int receive_start(int listener);
/*
 * Whether the calling thread may wait for long: another one receives meanwhile, which is called or started if it must be;
 * only their number is bounded.
 */
bool receive_may_block(void);
/*
 * What waits only by bad luck: right here on a thread that receives, where the watcher sees it if it does wait, else on the
 * pool, which costs a change of threads.
 */
void receive_run(void (*run)(void *), void *argument);

/* ---- module.c: towards JavaScript; callable from any thread ---- */

/* Gives the op to JavaScript, which claims it by its token. */
void emit_op(struct op *op);
void emit_end(int listener);
/* A program that wants to be in the session: its connection, and who it is (SO_PEERCRED). */
void emit_visitor(int fd, pid_t pid, uid_t uid);
/* The process's socket (port `local_port`) was connected to the relay, or was not. */
void emit_relayed(uint64_t token, uint16_t local_port, int error);
/* Our end of a unix socket that was to be the pod's, or a negative errno. */
void emit_accepted(uint64_t token, int fd);
/* What could not be done as in the pod, so that a person must be told why. */
void emit_refused(pid_t tgid, const char *call, const char *path, const char *why);
/* A program that is not wholly as without inpod (programs.h). `why` is a constant. */
void emit_limited(pid_t tgid, const char *program, const char *why);
/* Of decisions that were to be told, how many were not, because too many were under way. */
uint64_t events_untold(void);
void emit_program(pid_t tgid, const char *executable, bool skipped);
