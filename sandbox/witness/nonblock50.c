/* 50 parallel non-blocking connects: HOST PORT, numeric. Prints {"ms":…,"results":{"ok":…,"ECONNREFUSED":…}}. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "errno.h"

enum { COUNT = 50, DEADLINE_MS = 20000, NAMES = 8 };

static long now_ms(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
	struct pollfd sockets[COUNT];
	const char *names[NAMES];
	int counts[NAMES] = {0}, kinds = 0, left = COUNT;
	if (argc != 3) return 2;
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[2]))};
	if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) return 2;
	long start = now_ms();
	for (int i = 0; i < COUNT; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		/* An immediate failure is also what poll and SO_ERROR would tell; only EINPROGRESS is usual. */
		if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
			puts(errno_name(errno));
			return 1;
		}
		sockets[i] = (struct pollfd){.fd = fd, .events = POLLOUT};
	}
	while (left > 0 && now_ms() - start < DEADLINE_MS) {
		if (poll(sockets, COUNT, DEADLINE_MS) <= 0) break;
		for (int i = 0; i < COUNT; i++) {
			int error = 0, kind = 0;
			socklen_t length = sizeof error;
			if (sockets[i].fd < 0 || sockets[i].revents == 0) continue;
			getsockopt(sockets[i].fd, SOL_SOCKET, SO_ERROR, &error, &length);
			const char *name = error == 0 ? "ok" : errno_name(error);
			while (kind < kinds && strcmp(names[kind], name) != 0) kind++;
			if (kind == kinds && kinds < NAMES) names[kinds++] = name;
			if (kind < NAMES) counts[kind]++;
			sockets[i].fd = -1; /* poll(2) ignores it from here on */
			left--;
		}
	}
	printf("{\"ms\":%ld,\"results\":{", now_ms() - start);
	for (int i = 0; i < kinds; i++) printf("%s\"%s\":%d", i ? "," : "", names[i], counts[i]);
	printf("}}\n");
	return left > 0;
}
