/*
 * Errors of connects and datagrams. DESTINATIONS in the environment: "NAME HOST PORT, …"; those whose name begins with
 * "route" fail by the pod's own routes, at which call a socket that does not block tells it is not said.
 */
#include "talk.h"
#include <time.h>

enum { WAIT_MS = 15000 };

/*
 * ICMP that comes while the socket is in use is a soft error (tcp_v4_err in Linux' tcp_ipv4.c), and then tries go on: only
 * what is told first is certain.
 */
static void soft_to(const char *host, int port) {
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	TELL("connect", connect_to(fd, host, port));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	TELL("non-blocking", connect_to(fd, host, port));
	poll(&(struct pollfd){fd, POLLOUT, 0}, 1, WAIT_MS);
	tell_error(fd);
}

/* inpod fails a socket in two steps, of which poll(2) may tell the first one. */
static void until_closed(int fd) {
	struct timespec begin, now;
	struct pollfd waiting = {fd, POLLRDHUP, 0};
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		poll(&waiting, 1, WAIT_MS);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!(waiting.revents & POLLRDHUP) && now.tv_sec - begin.tv_sec < 3);
}

/* A program that does not ask for SO_ERROR is told by what it does next. */
static void untold(const char *host, int port, bool sends) {
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	TELL("unasked", connect_to(fd, host, port));
	until_closed(fd);
	tell_poll(fd, POLLIN | POLLOUT | POLLRDHUP, WAIT_MS);
	if (sends) TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
	TELL("read", recv(fd, (char[1]){0}, 1, 0));
	TELL("read again", recv(fd, (char[1]){0}, 1, 0));
	TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
	tell_poll(fd, POLLIN | POLLOUT | POLLRDHUP, WAIT_MS);
}

static void tcp_to(const char *name, const char *host, int port) {
	printf("to %s\n", name);
	if (strncmp(name, "icmp", 4) == 0) {
		soft_to(host, port);
		return;
	}
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	TELL("connect", connect_to(fd, host, port));
	tell_peer(fd);
	TELL("again", connect_to(fd, host, port));
	TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
	TELL("read", recv(fd, (char[1]){0}, 1, 0));
	for (int second = 0; second <= 1; second++) {
		fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		int result = connect_to(fd, host, port), error = errno;
		if (strncmp(name, "route", 5) == 0) {
			socklen_t length = sizeof error;
			struct pollfd waiting = {fd, POLLOUT, 0};
			if (error == EINPROGRESS) {
				poll(&waiting, 1, WAIT_MS);
				getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
			}
			printf("non-blocking: %s\n", strerrorname_np(error));
			continue;
		}
		TELL("non-blocking", result);
		tell_poll(fd, POLLOUT, WAIT_MS);
		if (second) {
			TELL("second connect", connect_to(fd, host, port));
			tell_error(fd);
		} else {
			tell_error(fd);
			tell_error(fd);
			tell_peer(fd);
			TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
			TELL("connect again", connect_to(fd, host, port));
			TELL("and again", connect_to(fd, host, port));
			TELL("disconnect", disconnect(fd));
			TELL("and again", connect_to(fd, host, port));
		}
	}
	if (strncmp(name, "route", 5) == 0) return;
	untold(host, port, true);
	untold(host, port, false);
}

static void udp_to(const char *name, const char *host, int port) {
	char text[64] = "";
	printf("datagrams to %s\n", name);
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	set_timeout(fd, SO_RCVTIMEO, 2000);
	TELL("connect", connect_to(fd, host, port));
	for (int i = 0; i < 2; i++) {
		TELL("send", send(fd, "one", 3, 0));
		tell_poll(fd, POLLIN, WAIT_MS);
		TELL("read", recv(fd, text, sizeof text, MSG_DONTWAIT));
		TELL("read again", recv(fd, text, sizeof text, MSG_DONTWAIT));
	}
	TELL("send", send(fd, "two", 3, 0));
	tell_poll(fd, POLLIN, WAIT_MS);
	tell_error(fd);
	tell_error(fd);
	TELL("send", send(fd, "three", 5, 0));
	tell_poll(fd, POLLIN, WAIT_MS);
	TELL("send", send(fd, "four", 4, 0));
	tell_peer(fd);
	TELL("blocking send", send(fd, "five", 4, 0));
	TELL("blocking read", recv(fd, text, sizeof text, 0));
	TELL("connect elsewhere", connect_to(fd, setting("PEER"), 7104));
	recv(fd, text, sizeof text, MSG_DONTWAIT); /* an error of before, if it came that late */
	TELL("send", send(fd, "six", 3, 0));
	tell_poll(fd, POLLIN, WAIT_MS);
	ssize_t got = recv(fd, text, sizeof text - 1, 0);
	printf("answer: %s\n", got > 0 && strstr(text, ": six") ? "six" : outcome(got));
}

static void each(void (*run)(const char *, const char *, int)) {
	char *all = strdup(setting("DESTINATIONS")), *next = NULL;
	for (char *one = strtok_r(all, ",", &next); one; one = strtok_r(NULL, ",", &next)) {
		char name[32], host[48];
		int port;
		if (sscanf(one, "%31s %47s %d", name, host, &port) == 3) run(name, host, port);
	}
}

/* To where no SYN is answered, both at once: each takes its time. */
static void timeout(void) {
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	TELL("non-blocking", connect_to(fd, setting("BLACK_HOLE"), 80));
	TELL("connect", connect_to(socket(AF_INET, SOCK_STREAM, 0), setting("BLACK_HOLE"), 80));
	tell_poll(fd, POLLOUT, WAIT_MS);
	tell_error(fd);
	tell_error(fd);
}

/* The pod has no address of IPv6. */
static void without_ipv6(void) {
	const char *host = setting("PEER6");
	TELL("connect", connect_to(socket(AF_INET6, SOCK_STREAM, 0), host, 7100));
	TELL("non-blocking", connect_to(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), host, 7100));
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);
	TELL("datagram", connect_to(fd, host, 7104));
	tell_peer(fd);
	struct address to = address_of(host, 7104);
	TELL("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&to.storage, to.length));
}

static void tcp(void) { each(tcp_to); }
static void udp(void) { each(udp_to); }

int main(int argc, char **argv) {
	const struct test tests[] = {{"tcp", tcp}, {"udp", udp}, {"timeout", timeout}, {"ipv6", without_ipv6}};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
