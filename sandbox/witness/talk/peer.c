/*
 * Whom the other witnesses speak with: peer HOST… listens on every HOST, and says "ready".
 * 7100 greets, reads to the end and answers with what it has read; 7101 ends its own direction first;
 * 7102 resets; 7103 tells how many bytes 7101 has read, if there were any; 7104 is UDP and sends back what comes, by whom.
 */
#include "talk.h"

static void greet(int fd, const struct sockaddr_storage *from) {
	char text[2048];
	size_t length = 0;
	ssize_t got;
	dprintf(fd, "hello %s\n", address_text(from));
	while (length < sizeof text && (got = recv(fd, text + length, sizeof text - length, 0)) > 0) length += (size_t)got;
	dprintf(fd, "got %.*s\n", (int)length, text);
}

static void serve(const char *host, int port, int last[2]) {
	int fd = socket(strchr(host, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (bind_to(fd, host, port) || listen(fd, 64)) exit(1);
	if (fork()) {
		close(fd);
		return;
	}
	for (;;) {
		struct sockaddr_storage from;
		socklen_t length = sizeof from;
		int accepted = accept(fd, (struct sockaddr *)&from, &length);
		if (accepted < 0 || fork()) {
			close(accepted);
			while (waitpid(-1, NULL, WNOHANG) > 0) continue;
			continue;
		}
		char byte[256];
		long total = 0;
		ssize_t got;
		switch (port) {
		case 7100: greet(accepted, &from); break;
		case 7101:
			dprintf(accepted, "early\n");
			shutdown(accepted, SHUT_WR);
			while ((got = recv(accepted, byte, sizeof byte, 0)) > 0) total += got;
			if (total > 0) dprintf(last[1], "%ld\n", total);
			break;
		case 7102: {
			struct linger now = {1, 0};
			setsockopt(accepted, SOL_SOCKET, SO_LINGER, &now, sizeof now);
			break;
		}
		default:
			got = read(last[0], byte, sizeof byte);
			if (got > 0) send(accepted, byte, (size_t)got, MSG_NOSIGNAL);
		}
		_exit(0);
	}
}

static void echo(const char *host) {
	int fd = socket(strchr(host, ':') ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
	if (bind_to(fd, host, 7104)) exit(1);
	if (fork()) {
		close(fd);
		return;
	}
	for (;;) {
		char text[1024], answer[1200];
		struct sockaddr_storage from;
		socklen_t length = sizeof from;
		ssize_t got = recvfrom(fd, text, sizeof text, 0, (struct sockaddr *)&from, &length);
		if (got < 0) continue;
		int size = snprintf(answer, sizeof answer, "%s: %.*s", address_text(&from), (int)got, text);
		sendto(fd, answer, (size_t)size, 0, (struct sockaddr *)&from, length);
	}
}

int main(int argc, char **argv) {
	int last[2];
	if (pipe(last)) return 1;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 1; i < argc; i++) {
		for (int port = 7100; port <= 7103; port++) serve(argv[i], port, last);
		echo(argv[i]);
	}
	puts("ready");
	pause();
	return 0;
}
