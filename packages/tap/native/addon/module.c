/* The addon's surface: what TypeScript calls, by name. Types: ../../src/native.ts. */
#include "surface.h"
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting ---- */

/* start(callback) -> the port of connects in progress, 0 where the kernel cannot do them. Once. */
static napi_value start(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  napi_create_threadsafe_function(env, call.arguments[0], NULL, text(env, "inpod-tap"), 0, 1, NULL, NULL,
                                  NULL, call_js, &to_js);
  kept_start();
  op_start_sweeper();
  interrupt_start();
  wait_start();
  return number(env, connect_prepare());
}

/* unref(): the event loop may end although the tap is there. */
static napi_value unref(napi_env env, napi_callback_info info) {
  (void)info;
  napi_unref_threadsafe_function(env, to_js);
  return NULL;
}

/* socketPair() -> [fd, fd], both CLOEXEC. */
static napi_value socket_pair(napi_env env, napi_callback_info info) {
  (void)info;
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return number(env, -errno);
  napi_value result;
  napi_create_array(env, &result);
  napi_set_element(env, result, 0, number(env, fds[0]));
  napi_set_element(env, result, 1, number(env, fds[1]));
  return result;
}

/* receiveListener(fd) -> listener fd, or -errno (the launcher's own, if it says why). Does not block: EAGAIN. */
static napi_value receive_listener(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  char space[CMSG_SPACE(sizeof(int))], byte[32] = {0};
  struct iovec io = {byte, sizeof byte - 1};
  struct msghdr message = {
      .msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  ssize_t got = recvmsg(int_of(&call, 0), &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (got < 0) return number(env, -errno);
  if (got == 0) return number(env, -EPIPE);
  if (byte[0] == 'E') return number(env, -atoi(byte + 1));
  struct cmsghdr *head = CMSG_FIRSTHDR(&message);
  int fd = -EPROTO;
  if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS)
    memcpy(&fd, CMSG_DATA(head), sizeof fd);
  return number(env, fd);
}

/* receive(listener) -> 0 or -errno */
static napi_value receive_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, receive_start(int_of(&call, 0)));
}

/* heldCalls() -> fd of the memory that the keeper reads after our end, or negative */
static napi_value held_calls(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, kept_descriptor());
}

/* writeByte(fd) -> 0 or -errno */
static napi_value write_byte(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, write(int_of(&call, 0), "k", 1) == 1 ? 0 : -errno);
}
/* silence(fd) -> 0 or -errno: whoever reads it sees its end, and the number is nobody else's. */
static napi_value silence(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (nothing < 0) return number(env, -errno);
  int failed = dup2(nothing, int_of(&call, 0)) < 0 ? -errno : 0;
  close(nothing);
  return number(env, failed);
}
static napi_value close_js(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  return number(env, close(int_of(&call, 0)) ? -errno : 0);
}

/* ---- the process tree ---- */

/* adoptOrphans(): processes whose parent ends become ours, so that they stay in sight. */
static napi_value adopt_orphans(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) ? -errno : 0);
}

static napi_value forget_ended(napi_env env, napi_callback_info info) {
  (void)info;
  process_forget_ended();
  return number(env, 0);
}

/*
 * reapOrphan(own pids) -> pid that was reaped, 0: none. Never takes what libuv waits for (it never uses -1). Only this
 * thread's children: the stops of what another thread traces (tracee.c) would be taken from it.
 */
static napi_value reap_orphan(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  siginfo_t ended = {0};
  const int ours = WEXITED | WNOHANG | __WNOTHREAD;
  if (waitid(P_ALL, 0, &ended, ours | WNOWAIT) != 0 || ended.si_pid == 0) return number(env, 0);
  /* Of a child of this very thread they are told all the same. */
  if (ended.si_code != CLD_EXITED && ended.si_code != CLD_KILLED && ended.si_code != CLD_DUMPED)
    return number(env, 0);
  uint32_t count = 0;
  napi_get_array_length(env, call.arguments[0], &count);
  for (uint32_t i = 0; i < count; i++) {
    napi_value entry;
    int32_t own = 0;
    napi_get_element(env, call.arguments[0], i, &entry);
    napi_get_value_int32(env, entry, &own);
    if (own == ended.si_pid) return number(env, 0);
  }
  if (waitid(P_PID, (id_t)ended.si_pid, &ended, ours) != 0) return number(env, 0);
  return number(env, ended.si_pid);
}

/*
 * ignoreStops(): SIGCHLD tells ends only, from now on. libuv waits for its children at each one, and would take the stop
 * of a child that a thread of ours traces for its end. Once libuv's handler is there.
 */
static napi_value ignore_stops(napi_env env, napi_callback_info info) {
  (void)info;
  struct sigaction action;
  if (sigaction(SIGCHLD, NULL, &action) != 0) return number(env, -errno);
  action.sa_flags |= SA_NOCLDSTOP;
  return number(env, sigaction(SIGCHLD, &action, NULL) ? -errno : 0);
}

/*
 * ignoreBackgroundWrites(): what we say appears on the terminal also while a shell has us in the background. Else our
 * group would be stopped for it, and the tree's calls would wait.
 */
static napi_value ignore_background_writes(napi_env env, napi_callback_info info) {
  (void)info;
  return number(env, signal(SIGTTOU, SIG_IGN) == SIG_ERR ? -errno : 0);
}

/* setLockLimit(limit: bigint), 0n: none. What the next process that is started inherits: ../../src/mark.ts. */
static napi_value set_lock_limit(napi_env env, napi_callback_info info) {
  struct call call = call_of(env, info);
  uint64_t limit = 0;
  bool lossless;
  struct rlimit locks;
  napi_get_value_bigint_uint64(env, call.arguments[0], &limit, &lossless);
  if (getrlimit(RLIMIT_LOCKS, &locks) != 0) return number(env, -errno);
  locks.rlim_cur = limit ? limit : locks.rlim_max;
  return number(env, setrlimit(RLIMIT_LOCKS, &locks) ? -errno : 0);
}

/* raiseFileLimit() -> the soft limit before */
static napi_value raise_file_limit(napi_env env, napi_callback_info info) {
  (void)info;
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return number(env, 0);
  double before = (double)files.rlim_cur;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  return number(env, before);
}

/* What all arenas of malloc have given out, Node's own part among it; 0 where the C library does not tell (musl). */
static size_t heap_bytes(void) {
#if defined(__GLIBC__)
#if __GLIBC_PREREQ(2, 33)
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#endif
#endif
  return 0;
}

static napi_value statistics_js(napi_env env, napi_callback_info info) {
  (void)info;
  napi_value object;
  napi_create_object(env, &object);
  put(env, object, "received", number(env, (double)statistics.received));
  put(env, object, "answered", number(env, (double)statistics.answered));
  put(env, object, "cancelled", number(env, (double)statistics.cancelled));
  put(env, object, "expired", number(env, (double)statistics.expired));
  put(env, object, "continued", number(env, (double)statistics.continued));
  put(env, object, "joined", number(env, (double)statistics.joined));
  put(env, object, "served", number(env, (double)statistics.served));
  put(env, object, "untold", number(env, (double)events_untold()));
  put(env, object, "heapBytes", number(env, (double)heap_bytes()));
  return object;
}

/* ---- answers ---- */

struct answer {
  const char *name;
  int (*function)(const struct call *, struct op *);
};
static const struct answer answers[] = {
    {"reply", reply},
    {"continue", continue_natively},
    {"continueHere", continue_here},
    {"replyStat", reply_stat},
    {"replyReadlink", reply_readlink},
    {"replyFile", reply_file},
    {"replyDescriptor", reply_descriptor},
    {"serveRemote", serve_remote_js},
    {"serveLocal", serve_local_js},
    {"bindSocket", bind_socket},
    {"bindAsAsked", bind_as_asked},
    {"replyBound", reply_bound},
    {"listenSocket", listen_socket},
    {"replyRelayed", reply_relayed},
    {"startPending", start_pending},
    {"verdictConnected", verdict_connected_js},
    {"replyUnix", reply_unix},
    {"replyConnectedDatagram", reply_connected_datagram},
    {"replySentTo", reply_sent_to},
};

/* Of a call that was answered meanwhile, or is over: -ESRCH. */
static napi_value answer(napi_env env, napi_callback_info info) {
  void *data;
  struct call call = call_with(env, info, &data);
  const struct answer *known = data;
  struct op *op = op_claim(token_of(&call));
  return number(env, op ? known->function(&call, op) : -ESRCH);
}

static void export(napi_env env, napi_value exports, const char *name, napi_callback function, const void *data) {
  napi_value made;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, (void *)(uintptr_t)data, &made);
  put(env, exports, name, made);
}

NAPI_MODULE_INIT() {
  static const struct {
    const char *name;
    napi_callback function;
  } functions[] = {
      {"start", start},
      {"unref", unref},
      {"socketPair", socket_pair},
      {"receiveListener", receive_listener},
      {"receive", receive_js},
      {"heldCalls", held_calls},
      {"openDoor", open_door},
      {"closeDoor", close_door},
      {"tell", tell},
      {"environmentFile", environment_file},
      {"writeByte", write_byte},
      {"close", close_js},
      {"silence", silence},
      {"setPathRules", set_path_rules},
      {"matchPath", match_path},
      {"setRemote", set_remote},
      {"setSkips", set_skips},
      {"setNativePort", set_native_port},
      {"setDestinations", set_destinations},
      {"isLocalDestination", is_local_destination},
      {"setRelayPort", set_relay_port},
      {"hideNscd", hide_nscd},
      {"wantReports", want_reports},
      {"setHostname", set_hostname},
      {"setName", set_name},
      {"nameNumber", name_number},
      {"forgetName", forget_name},
      {"completePending", complete_pending},
      {"failPending", fail_pending},
      {"askUnix", ask_unix},
      {"refuseDatagram", refuse_datagram},
      {"connectToUser", connect_to_user},
      {"listeningPorts", listening_ports},
      {"adoptOrphans", adopt_orphans},
      {"reapOrphan", reap_orphan},
      {"forgetEnded", forget_ended},
      {"ignoreStops", ignore_stops},
      {"ignoreBackgroundWrites", ignore_background_writes},
      {"setLockLimit", set_lock_limit},
      {"raiseFileLimit", raise_file_limit},
      {"probeDoors", probe_doors},
      {"makeNode", make_node},
      {"setTimes", set_times},
      {"statistics", statistics_js},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
    export(env, exports, functions[i].name, functions[i].function, NULL);
  for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
    export(env, exports, answers[i].name, answer, &answers[i]);
  return exports;
}
