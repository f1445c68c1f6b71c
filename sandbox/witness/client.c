/* Blocking client: HOST PORT PATH. Prints the body of the answer, then peer and local address as it sees them. */
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>
#include "errno.h"

static void fail(const char *name) {
	puts(name);
	exit(1);
}

static void print_address(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd) {
	struct sockaddr_storage address;
	socklen_t length = sizeof address;
	char host[64], port[8];
	if (get(fd, (struct sockaddr *)&address, &length) != 0) fail(errno_name(errno));
	getnameinfo((struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
	            NI_NUMERICHOST | NI_NUMERICSERV);
	printf("%s %s:%s\n", what, host, port);
}

int main(int argc, char **argv) {
	static char answer[1 << 16];
	char request[1024];
	size_t got = 0;
	ssize_t n;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	struct timeval deadline = {.tv_sec = 20};
	if (argc != 4) return 2;
	if (getaddrinfo(argv[1], argv[2], &hints, &found) != 0) fail("EAI_NONAME");
	int fd = socket(found->ai_family, SOCK_STREAM, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
	if (connect(fd, found->ai_addr, found->ai_addrlen) != 0) fail(errno_name(errno));
	int length = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", argv[3], argv[1]);
	if (write(fd, request, (size_t)length) != length) fail(errno_name(errno));
	while (got < sizeof answer - 1 && (n = read(fd, answer + got, sizeof answer - 1 - got)) != 0) {
		if (n < 0) fail(errno_name(errno));
		got += (size_t)n;
	}
	char *body = strstr(answer, "\r\n\r\n");
	fputs(body ? body + 4 : answer, stdout);
	print_address("peer", getpeername, fd);
	print_address("local", getsockname, fd);
	return 0;
}
