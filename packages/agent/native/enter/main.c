// inpod-enter: the part of the agent that has rights. It listens, finds the target, joins its namespaces,
// starts the file worker (with the target's ids), Node and the reader of packets (with no right at all), and stays
// as their parent to own the rules. When it or Node ends, all end.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "capture.h"
#include "clock.h"
#include "control.h"
#include "find.h"
#include "life.h"
#include "node.h"
#include "options.h"
#include "report.h"

struct supervisor {
  pid_t node; // 0: ended
  int node_status;
  int signals;
  int64_t deadline; // 0: none
  int end_timeout_ms;
  int lifeline; // whose EOF ends us; -1: none
  struct life life;
  struct control control;
  struct rules rules;
  struct capture capture;
};

static int listen_at(const struct sockaddr *address, socklen_t length) {
  int one = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (!bind(fd, address, length) && !listen(fd, 64)) return fd;
  int error = errno;
  close(fd);
  return -error;
}

// On 127.0.0.1 of the namespace we were started in: there a port-forward dials first.
static int listen_on(uint16_t port, uint16_t *bound_port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = listen_at((struct sockaddr *)&address, length);
  if (fd < 0) return fd;
  if (getsockname(fd, (struct sockaddr *)&address, &length)) return -errno;
  *bound_port = ntohs(address.sin_port);
  return fd;
}

// For whoever is in our mount namespace, and has another user's rights.
static int listen_on_path(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || chmod(path, 0666) || listen(fd, 64)) {
    int error = errno;
    close(fd);
    return -error;
  }
  return fd;
}

static int take_signals(void) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGHUP);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
}

// By pid: nft's is nft_stop()'s until then.
static void reap(struct supervisor *all) {
  int status;
  if (all->node && waitpid(all->node, &status, WNOHANG) == all->node) {
    all->node = 0;
    all->node_status = status;
  }
  if (all->life.worker && waitpid(all->life.worker, NULL, WNOHANG) == all->life.worker) {
    all->life.worker = 0;
    control_event(&all->control, CONTROL_WORKER_GONE, 0, "the file worker has ended");
  }
  if (all->capture.reader && waitpid(all->capture.reader, NULL, WNOHANG) == all->capture.reader) {
    all->capture.reader = 0;
    capture_end(&all->capture);
    control_event(&all->control, CONTROL_CAPTURE_LOST, 0, "the reader of packets has ended");
  }
}

static bool wait_for(pid_t pid, int timeout_ms, int *status) {
  int64_t deadline = now_ms() + timeout_ms;
  while (waitpid(pid, status, WNOHANG) == 0) {
    if (!ms_until(deadline)) return false;
    poll(NULL, 0, 5);
  }
  return true;
}

// What is said on it has no meaning; poll(2) has told that there is something.
static bool has_ended(int fd) {
  char ignored[4096];
  ssize_t got = read(fd, ignored, sizeof ignored);
  return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

// New connections reach the pod from here on. The rest of the rules goes last: a client that waits for an answer learns
// of its connection's end by a reset of Node's, which nothing would translate any more.
static void end_all(struct supervisor *all) {
  rules_give_back(&all->rules);
  if (all->node) {
    kill(all->node, SIGTERM);
    if (!wait_for(all->node, all->end_timeout_ms, NULL)) {
      kill(all->node, SIGKILL);
      wait_for(all->node, 1000, NULL);
    }
  }
  rules_remove(&all->rules);
  capture_end(&all->capture);
  life_end(&all->life);
}

static int end_of_node(struct supervisor *all) {
  int status = all->node_status;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
    report_ended("node");
    return 0;
  }
  if (WIFSIGNALED(status)) report_error(ECHILD, "Node was ended by signal %d", WTERMSIG(status));
  else report_error(ECHILD, "Node ended with code %d", WEXITSTATUS(status));
  return 1;
}

static void target_gone(struct supervisor *all) {
  life_end(&all->life);
  if (all->life.pod_uid) {
    control_event(&all->control, CONTROL_TARGET_GONE, 0, "the main process of its container has ended");
  } else {
    control_event(&all->control, CONTROL_TARGET_GONE, ESRCH, "the target's main process has ended");
    report_target_gone();
  }
}

static int supervise(struct supervisor *all) {
  for (;;) {
    // Indices stay; poll(2) leaves out negative descriptors.
    struct pollfd ready[] = {
        {.fd = all->signals, .events = POLLIN},
        {.fd = all->control.socket, .events = POLLIN},
        {.fd = all->life.is_over ? -1 : all->life.target.pidfd, .events = POLLIN},
        {.fd = all->rules.nft.pid ? all->rules.nft.output : -1, .events = POLLIN},
        {.fd = all->lifeline, .events = POLLIN},
    };
    poll(ready, sizeof ready / sizeof *ready, all->deadline ? ms_until(all->deadline) : -1);
    if (all->deadline && !ms_until(all->deadline)) {
      report_ended("deadline");
      return 0;
    }
    for (struct signalfd_siginfo info; read(all->signals, &info, sizeof info) == sizeof info;)
      if (info.ssi_signo != SIGCHLD) {
        report_ended(info.ssi_signo == SIGTERM ? "SIGTERM" : info.ssi_signo == SIGINT ? "SIGINT" : "SIGHUP");
        return 0;
      }
    if (ready[4].revents && has_ended(all->lifeline)) {
      report_ended("stdin");
      return 0;
    }
    reap(all);
    if (!all->node) return end_of_node(all);
    if (ready[2].revents) target_gone(all);
    if (ready[3].revents) {
      // It speaks only when spoken to: this is its end.
      rules_remove(&all->rules);
      control_event(&all->control, CONTROL_RULES_LOST, 0, "nft has ended");
    }
    if (ready[1].revents) {
      int error = control_serve(&all->control);
      if (!error) continue;
      // Node's end, as a rule: its exit code says more. New connections do not wait for it.
      rules_give_back(&all->rules);
      if (wait_for(all->node, 1000, &all->node_status)) {
        all->node = 0;
        return end_of_node(all);
      }
      report_error(error, "Node's control socket: %s", strerror(error));
      return 1;
    }
  }
}

static int fail(int error, const char *what) {
  report_error(error, "%s", what);
  return 1;
}

static int find_and_enter(const struct options *options, pid_t *pid, struct life *life, char *what,
                          size_t what_size) {
  enum entry entry = options->in_pod ? ENTER_POD : ENTER_CONTAINER;
  *pid = options->pid;
  if (options->targetless) {
    *pid = getpid();
    entry = ENTER_NOTHING;
  }
  if (!*pid) *pid = find_container(options->container_id, options->find_timeout_ms);
  if (!*pid && options->pod_uid) {
    *pid = find_pod(options->pod_uid);
    entry = ENTER_NETWORK;
  }
  life->pod_uid = options->pod_uid;
  life->ends_with_target = options->in_pod && options->pid == 1;
  if (options->container_id && entry != ENTER_NETWORK && is_container_id(options->container_id))
    strcpy(life->container_id, options->container_id);
  if (*pid) return enter_target(*pid, entry, &life->target, what, what_size);
  snprintf(what, what_size, "no process of the container is in /proc");
  return ESRCH;
}

static const char *missing_incoming(const struct options *options, const struct target *target) {
  if (options->targetless) return "there is no target";
  if (options->allow_shared_network) return "";
  // In a pod's own network whoever starts us has allowed it.
  if (target->uses_node_network || options->in_pod)
    return "the target is in its node's network, and with its ports the node would lose its own "
           "(--allow-host-network takes them all the same)";
  return target->shares_network ? "the target has no network namespace of its own" : "";
}

int main(int argc, char **argv) {
  static struct supervisor all;
  struct options options;
  char what[300];
  int error = parse_options(argc, argv, &options, what, sizeof what);
  if (error) {
    fputs(usage, stderr);
    return fail(error, what) + 1;
  }
  report_as(options.log_level, options.plain_log);
  all.deadline = options.deadline_ms ? now_ms() + options.deadline_ms : 0;
  all.end_timeout_ms = options.end_timeout_ms;
  all.lifeline = options.exit_on_stdin_eof ? STDIN_FILENO : -1;
  uint16_t port = 0;
  const char *path = options.listen_path;
  int listen_fd = path ? listen_on_path(path) : listen_on(options.port, &port);
  if (listen_fd < 0) {
    if (path) snprintf(what, sizeof what, "listen on %s: %s", path, strerror(-listen_fd));
    else snprintf(what, sizeof what, "listen on 127.0.0.1:%u: %s", options.port, strerror(-listen_fd));
    return fail(-listen_fd, what);
  }
  if (path) report_listening_on_path();
  else report_listening(port);
  int metrics_fd = -1;
  if (options.metrics_length) {
    metrics_fd = listen_at((struct sockaddr *)&options.metrics, options.metrics_length);
    if (metrics_fd < 0) {
      snprintf(what, sizeof what, "listen for metrics: %s", strerror(-metrics_fd));
      return fail(-metrics_fd, what);
    }
  }
  struct target *target = &all.life.target;
  pid_t pid;
  error = find_and_enter(&options, &pid, &all.life, what, sizeof what);
  if (error) return fail(error, what);

  all.signals = take_signals();
  struct ids node_ids = choose_node_ids(&options, target);
  all.rules.node_gid = options.node_gid;
  all.control.life = &all.life;
  all.control.rules = &all.rules;
  all.control.capture = &all.capture;
  all.control.node_uid = node_ids.uid;
  all.capture.reader_ids = &node_ids;
  all.control.missing_incoming = missing_incoming(&options, target);
  int files[2], ends[2], packets[2], unix_sockets[2];
  struct timeval patience = {.tv_sec = 5};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, files) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, packets) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unix_sockets))
    return fail(errno, "socketpair");
  all.life.worker_socket = files[0];
  all.life.worker_channel = unix_sockets[0];
  setsockopt(unix_sockets[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  all.capture.reader_socket = packets[0];
  life_start_worker(&all.life);
  setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  all.control.socket = ends[0];
  control_worker_event(&all.control);
  report_target(pid);
  all.node = start_node(&options, &node_ids, (int[]){listen_fd, ends[1], files[1], metrics_fd, packets[1], unix_sockets[1]});
  int code = 1;
  if (all.node > 0) {
    close(listen_fd), close(ends[1]), close(files[1]), close(packets[1]), close(unix_sockets[1]);
    if (metrics_fd >= 0) close(metrics_fd);
    code = supervise(&all);
  } else {
    report_error(-all.node, "fork: %s", strerror(-all.node));
    all.node = 0;
  }
  end_all(&all);
  return code;
}
