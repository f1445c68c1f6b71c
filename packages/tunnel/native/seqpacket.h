/*
 * A socket of AF_UNIX whose records keep their borders (SOCK_SEQPACKET) as a stream, which Node and the tunnel can carry: the
 * tap has one end of it on the developer's machine, the file worker the other in the target. Each record is
 * u32 length (little-endian) · bytes. Two threads for each connection, which end with it.
 */
#pragma once
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
  SEQPACKET_LONGEST = 512 * 1024, /* twice net.core.wmem_max as Linux sets it: nobody sends more */
  SEQPACKET_CONNECTIONS = 64, /* of a process: each may have two such records in its memory */
  SEQPACKET_FIRST_ROOM = 16 * 1024,
};

struct seqpacket {
  int records, stream;
  int users; /* threads that are not done yet */
};

static int seqpacket_count;

static void seqpacket_leave(struct seqpacket *pair) {
  if (__atomic_sub_fetch(&pair->users, 1, __ATOMIC_ACQ_REL) > 0) return;
  close(pair->records);
  close(pair->stream);
  free(pair);
  __atomic_sub_fetch(&seqpacket_count, 1, __ATOMIC_ACQ_REL);
}

static void seqpacket_break(const struct seqpacket *pair) {
  shutdown(pair->records, SHUT_RDWR);
  shutdown(pair->stream, SHUT_RDWR);
}

static bool seqpacket_room(uint8_t **bytes, size_t *room, size_t length) {
  if (length <= *room) return true;
  uint8_t *more = length <= SEQPACKET_LONGEST ? realloc(*bytes, length) : NULL;
  if (!more) return false;
  *bytes = more;
  *room = length;
  return true;
}

static bool seqpacket_put(int fd, const void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t put = send(fd, (const uint8_t *)bytes + done, length - done, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    done += (size_t)put;
  }
  return true;
}

/* 1; 0 at the end; or -1. */
static int seqpacket_get(int fd, void *bytes, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t got = recv(fd, (uint8_t *)bytes + done, length - done, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return got == 0 && done == 0 ? 0 : -1;
    done += (size_t)got;
  }
  return 1;
}

/* False: there is nobody any more at the stream's other end, which whoever waits for `records` would not hear of. */
static bool seqpacket_wait(const struct seqpacket *pair) {
  struct pollfd both[] = {{pair->records, POLLIN, 0}, {pair->stream, 0, 0}};
  int ready;
  do ready = poll(both, 2, -1);
  while (ready < 0 && errno == EINTR);
  return ready > 0 && !both[1].revents;
}

enum { SEQPACKET_END = -1, SEQPACKET_LOST = -2 };

/* Whoever closes with something unread resets (ECONNRESET, once); what it has sent before is there still. */
static bool seqpacket_again(ssize_t result) { return result < 0 && (errno == EINTR || errno == ECONNRESET); }

/* Its length, or one of the above. An empty record reads like the end, but has the time that SO_TIMESTAMP asks for. */
static ssize_t seqpacket_take(int fd, uint8_t **bytes, size_t *room) {
  char time[CMSG_SPACE(sizeof(struct timeval))]; /* no room for descriptors, which the kernel then closes */
  ssize_t length;
  do length = recv(fd, NULL, 0, MSG_PEEK | MSG_TRUNC);
  while (seqpacket_again(length));
  if (length < 0 || !seqpacket_room(bytes, room, (size_t)length)) return SEQPACKET_LOST;
  struct iovec part = {*bytes, (size_t)length};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = time, .msg_controllen = sizeof time};
  do length = recvmsg(fd, &message, 0);
  while (seqpacket_again(length));
  if (length < 0) return SEQPACKET_LOST;
  return length == 0 && message.msg_controllen == 0 ? SEQPACKET_END : length;
}

static void *seqpacket_outward(void *argument) {
  struct seqpacket *pair = argument;
  size_t room = SEQPACKET_FIRST_ROOM;
  uint8_t *bytes = malloc(room);
  ssize_t length = SEQPACKET_LOST;
  bool works = bytes && seqpacket_wait(pair);
  while (works && (length = seqpacket_take(pair->records, &bytes, &room)) >= 0) {
    uint32_t head = (uint32_t)length;
    works = seqpacket_put(pair->stream, &head, sizeof head) && seqpacket_put(pair->stream, bytes, head) &&
            seqpacket_wait(pair);
  }
  if (works && length == SEQPACKET_END) shutdown(pair->stream, SHUT_WR);
  else seqpacket_break(pair);
  free(bytes);
  seqpacket_leave(pair);
  return NULL;
}

static void *seqpacket_inward(void *argument) {
  struct seqpacket *pair = argument;
  size_t room = SEQPACKET_FIRST_ROOM;
  uint8_t *bytes = malloc(room);
  uint32_t head;
  int got = bytes ? 1 : -1;
  while (got > 0 && (got = seqpacket_get(pair->stream, &head, sizeof head)) > 0) {
    ssize_t sent = -1;
    got = seqpacket_room(&bytes, &room, head) ? seqpacket_get(pair->stream, bytes, head) : -1;
    /* Whole or not at all: EMSGSIZE is a record that only the other machine lets through. */
    if (got > 0)
      do sent = send(pair->records, bytes, head, MSG_NOSIGNAL);
      while (sent < 0 && errno == EINTR);
    if (sent < 0) got = -1;
  }
  struct pollfd gone = {pair->stream, 0, 0};
  if (got == 0 && poll(&gone, 1, 0) == 0) shutdown(pair->records, SHUT_WR);
  else seqpacket_break(pair);
  free(bytes);
  seqpacket_leave(pair);
  return NULL;
}

static bool seqpacket_start(void *(*run)(void *), struct seqpacket *pair) {
  pthread_t thread;
  pthread_attr_t small;
  sigset_t all, before; /* signals are for the main thread */
  sigfillset(&all);
  pthread_attr_init(&small);
  pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&small, 64 * 1024);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool has_started = pthread_create(&thread, &small, run, pair) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&small);
  return has_started;
}

/* Takes the connected socket `records`. Returns the stream, which does not block and is the caller's, or -errno. */
static int seqpacket_to_stream(int records) {
  int ends[2] = {-1, -1}, most = SEQPACKET_LONGEST, on = 1, error = ENOBUFS;
  struct timeval for_ever = {0};
  struct seqpacket *pair = malloc(sizeof *pair);
  bool has_room = __atomic_add_fetch(&seqpacket_count, 1, __ATOMIC_ACQ_REL) <= SEQPACKET_CONNECTIONS;
  if (!pair || !has_room || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
    if (has_room) error = errno;
    __atomic_sub_fetch(&seqpacket_count, 1, __ATOMIC_ACQ_REL);
    free(pair);
    close(records);
    return -error;
  }
  *pair = (struct seqpacket){records, ends[0], 2};
  setsockopt(records, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on);
  setsockopt(records, SOL_SOCKET, SO_SNDBUF, &most, sizeof most);
  setsockopt(records, SOL_SOCKET, SO_SNDTIMEO, &for_ever, sizeof for_ever);
  fcntl(records, F_SETFL, fcntl(records, F_GETFL) & ~O_NONBLOCK);
  fcntl(ends[1], F_SETFL, O_NONBLOCK);
  bool reads = seqpacket_start(seqpacket_outward, pair), writes = reads && seqpacket_start(seqpacket_inward, pair);
  if (reads && writes) return ends[1];
  seqpacket_break(pair);
  seqpacket_leave(pair);
  if (!reads) seqpacket_leave(pair);
  close(ends[1]);
  return -EAGAIN;
}
