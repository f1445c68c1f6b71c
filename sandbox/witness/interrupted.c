/*
 * connect(2) that a signal interrupts: connect HOST PORT HOW, numeric, HOW being poll, again, verdict or sndtimeo.
 * The other end: listen PORT. It says "full" when it answers no SYN any more; a line on stdin, accept or close, ends
 * that. The connecting end waits for no line: it says "interrupted", and what it sees then is the end of its connect.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "errno.h"

enum { TICK_MS = 500, FILLERS = 4, GREETING = 5 };

static void on_tick(int number) { (void)number; }

static void tick(int ms) {
	struct itimerval every = {{ms / 1000, ms % 1000 * 1000}, {ms / 1000, ms % 1000 * 1000}};
	setitimer(ITIMER_REAL, &every, NULL);
}

static const char *result(int failed) {
	if (!failed) return "0";
	switch (errno) {
	case EINTR: return "EINTR";
	case EALREADY: return "EALREADY";
	case EINPROGRESS: return "EINPROGRESS";
	case EISCONN: return "EISCONN";
	case ENOTCONN: return "ENOTCONN";
	default: return errno_name(errno);
	}
}

static void tell_poll(int fd, int timeout_ms) {
	struct pollfd waiting = {fd, POLLOUT, 0};
	int ready = poll(&waiting, 1, timeout_ms);
	printf("poll %d%s%s%s\n", ready, waiting.revents & POLLOUT ? " OUT" : "", waiting.revents & POLLERR ? " ERR" : "",
	       waiting.revents & POLLHUP ? " HUP" : "");
}

static void tell_error(int fd) {
	int error = 0;
	socklen_t length = sizeof error;
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
	errno = error;
	printf("SO_ERROR %s\n", result(error));
}

static void tell_peer(int fd) {
	struct sockaddr_in peer;
	socklen_t length = sizeof peer;
	char text[64] = "";
	int failed = getpeername(fd, (struct sockaddr *)&peer, &length);
	if (!failed) inet_ntop(AF_INET, &peer.sin_addr, text, sizeof text);
	printf("peer %s %s %d\n", result(failed), text, failed ? 0 : ntohs(peer.sin_port));
}

static int connecting(struct sockaddr_in to, const char *how) {
	int fd = socket(AF_INET, SOCK_STREAM, 0), flags = fcntl(fd, F_GETFL);
	struct sigaction action = {.sa_handler = on_tick}; /* without SA_RESTART */
	sigaction(SIGALRM, &action, NULL);
	if (strcmp(how, "sndtimeo") == 0) {
		struct timeval timeout = {0, TICK_MS * 1000};
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
	} else {
		tick(TICK_MS);
	}
	int failed = connect(fd, (struct sockaddr *)&to, sizeof to);
	tick(0);
	printf("connect %s\n", result(failed));
	tell_poll(fd, 0);
	tell_peer(fd);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	printf("non-blocking connect %s\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
	fcntl(fd, F_SETFL, flags);
	puts("interrupted");
	if (strcmp(how, "again") == 0) {
		printf("blocking connect %s\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
	} else {
		tell_poll(fd, -1);
		if (strcmp(how, "verdict") == 0)
			printf("connect %s\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
		tell_error(fd);
		tell_error(fd);
	}
	tell_peer(fd);
	char greeting[GREETING + 1] = "";
	if (recv(fd, greeting, GREETING, MSG_WAITALL) == GREETING) {
		printf("connect %s\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
		printf("connect %s\n", result(connect(fd, (struct sockaddr *)&to, sizeof to)));
		puts(greeting);
	}
	printf("blocking %d\n", !(fcntl(fd, F_GETFL) & O_NONBLOCK));
	return 0;
}

static int listening(int port) {
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1, fillers[FILLERS];
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
	if (bind(fd, (struct sockaddr *)&any, sizeof any) || listen(fd, 0)) return 1;
	any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < FILLERS; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		connect(fillers[i], (struct sockaddr *)&any, sizeof any);
	}
	puts("full");
	char line[16] = "";
	if (!fgets(line, sizeof line, stdin)) return 1;
	for (int i = 0; i < FILLERS; i++) close(fillers[i]);
	if (line[0] == 'c') close(fd);
	while (line[0] == 'a') {
		int accepted = accept(fd, NULL, NULL);
		if (accepted >= 0) send(accepted, "hello", GREETING, MSG_NOSIGNAL); /* kept open */
	}
	return fgets(line, sizeof line, stdin) ? 1 : 0;
}

int main(int argc, char **argv) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 3 && strcmp(argv[1], "listen") == 0) return listening(atoi(argv[2]));
	if (argc != 5 || strcmp(argv[1], "connect") != 0) return 2;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[3]))};
	return inet_pton(AF_INET, argv[2], &to.sin_addr) == 1 ? connecting(to, argv[4]) : 2;
}
