/*
 * What the witnesses of "every way to talk" share. Each case of one runs in a process of its own and tells what it
 * sees; run in the pod and through inpod it must tell the same. Ports that the kernel chooses are told as PORT.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CASE_SECONDS = 40, FIRST_EPHEMERAL = 30000 };

static inline const char *outcome(long result) {
	static char text[24];
	if (result < 0) {
		const char *name = strerrorname_np(errno);
		return name ? name : "?";
	}
	snprintf(text, sizeof text, "%ld", result);
	return text;
}

#define TELL(what, call) printf("%s: %s\n", what, outcome(call))

struct address {
	struct sockaddr_storage storage;
	socklen_t length;
};

/* Numeric; "*" is 0.0.0.0. */
static inline struct address address_of(const char *host, int port) {
	struct address to = {.length = sizeof(struct sockaddr_in)};
	struct sockaddr_in *v4 = (struct sockaddr_in *)&to.storage;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to.storage;
	if (strcmp(host, "*") == 0) host = "0.0.0.0";
	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)port);
		return to;
	}
	memset(&to.storage, 0, sizeof to.storage);
	if (inet_pton(AF_INET6, host, &v6->sin6_addr) != 1) {
		fprintf(stderr, "no address: %s\n", host);
		exit(2);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons((uint16_t)port);
	to.length = sizeof *v6;
	return to;
}

static inline int connect_to(int fd, const char *host, int port) {
	struct address to = address_of(host, port);
	return connect(fd, (struct sockaddr *)&to.storage, to.length);
}

static inline int bind_to(int fd, const char *host, int port) {
	struct address to = address_of(host, port);
	return bind(fd, (struct sockaddr *)&to.storage, to.length);
}

static inline int disconnect(int fd) {
	struct sockaddr none = {.sa_family = AF_UNSPEC};
	return connect(fd, &none, sizeof none);
}

static inline void set_option(int fd, int level, int name, int value) {
	if (setsockopt(fd, level, name, &value, sizeof value)) printf("setsockopt %d %d: %s\n", level, name, outcome(-1));
}

static inline void set_timeout(int fd, int name, int ms) {
	struct timeval time = {ms / 1000, ms % 1000 * 1000};
	setsockopt(fd, SOL_SOCKET, name, &time, sizeof time);
}

static inline const char *address_text(const struct sockaddr_storage *address) {
	static char text[80];
	char host[INET6_ADDRSTRLEN] = "";
	int port = 0;
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
		inet_ntop(AF_INET, &v4->sin_addr, host, sizeof host);
		port = ntohs(v4->sin_port);
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
		inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof host);
		port = ntohs(v6->sin6_port);
	} else {
		snprintf(text, sizeof text, "family %d", address->ss_family);
		return text;
	}
	if (port >= FIRST_EPHEMERAL) snprintf(text, sizeof text, "%s PORT", host);
	else snprintf(text, sizeof text, "%s %d", host, port);
	return text;
}

static inline void tell_local(int fd) {
	struct sockaddr_storage name;
	socklen_t length = sizeof name;
	int result = getsockname(fd, (struct sockaddr *)&name, &length);
	printf("local: %s\n", result ? outcome(result) : address_text(&name));
}

static inline void tell_peer(int fd) {
	struct sockaddr_storage name;
	socklen_t length = sizeof name;
	int result = getpeername(fd, (struct sockaddr *)&name, &length);
	printf("peer: %s\n", result ? outcome(result) : address_text(&name));
}

static inline void tell_error(int fd) {
	int error = 0;
	socklen_t length = sizeof error;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	printf("SO_ERROR: %s\n", error ? strerrorname_np(error) : "0");
}

/* A descriptor, over SCM_RIGHTS. */
static inline void pass(int through, int fd) {
	char control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec part = {"x", 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	*head = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(head), &fd, sizeof fd);
	TELL("pass", sendmsg(through, &message, 0));
}

/* -1: none has come. */
static inline int take(int through) {
	int fd = -1;
	char byte, control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec part = {&byte, 1};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	TELL("take", recvmsg(through, &message, 0));
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (head) memcpy(&fd, CMSG_DATA(head), sizeof fd);
	return fd;
}

static inline void tell_poll(int fd, short events, int ms) {
	struct pollfd waiting = {fd, events, 0};
	int ready = poll(&waiting, 1, ms);
	printf("poll: %d%s%s%s%s%s\n", ready, waiting.revents & POLLIN ? " IN" : "", waiting.revents & POLLOUT ? " OUT" : "",
	       waiting.revents & POLLRDHUP ? " RDHUP" : "", waiting.revents & POLLERR ? " ERR" : "",
	       waiting.revents & POLLHUP ? " HUP" : "");
}

/* Until the stream's end. */
static inline void tell_all(int fd) {
	char text[4096];
	size_t length = 0;
	ssize_t got = 0;
	while (length < sizeof text - 1 && (got = recv(fd, text + length, sizeof text - 1 - length, 0)) > 0)
		length += (size_t)got;
	text[length] = 0;
	printf("read: %s%s\n", text, got < 0 ? outcome(got) : "");
}

static inline void tell_line(int fd) {
	char text[512] = "";
	size_t length = 0;
	ssize_t got = 1;
	while (length < sizeof text - 1 && (got = recv(fd, text + length, 1, 0)) == 1 && text[length] != '\n') length++;
	text[length] = 0;
	printf("line: %s%s\n", text, got < 0 ? outcome(got) : got == 0 ? " (end)" : "");
}

static inline const char *setting(const char *name) {
	const char *value = getenv(name);
	if (value && *value) return value;
	fprintf(stderr, "%s is not set\n", name);
	exit(2);
}

struct test {
	const char *name;
	void (*run)(void);
};

/* argv: names of cases; none: all. */
static inline int run_cases(const struct test *tests, size_t count, int argc, char **argv) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; i < count; i++) {
		bool wanted = argc < 2;
		for (int k = 1; k < argc; k++) wanted = wanted || strcmp(argv[k], tests[i].name) == 0;
		if (!wanted) continue;
		printf("== %s\n", tests[i].name);
		pid_t child = fork();
		if (child == 0) {
			alarm(CASE_SECONDS);
			tests[i].run();
			exit(0);
		}
		int status = 0;
		waitpid(child, &status, 0);
		if (WIFSIGNALED(status)) printf("ended by signal %d\n", WTERMSIG(status));
	}
	return 0;
}
