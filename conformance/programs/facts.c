/*
 * PORT. Prints "listening PORT", then answers each request for /HOST/REFUSED-PORT/UNREACHABLE/VARIABLE/FILE with what it
 * observes, one "key value" in a line; the words are in ../contract.ts. Blocking calls and one connection after the
 * other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static char said[1 << 14];
static size_t length;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
	va_list values;
	va_start(values, format);
	length += (size_t)vsnprintf(said + length, sizeof said - length, format, values);
	va_end(values);
	if (length >= sizeof said) exit(3);
}

static const char *errno_name(void) {
	switch (errno) {
	case ECONNREFUSED: return "ECONNREFUSED";
	case EHOSTUNREACH: return "EHOSTUNREACH";
	default: return strerror(errno);
	}
}

/* @return a pointer into one of two buffers */
static const char *text(int (*get)(int, struct sockaddr *, socklen_t *), int fd, int with_port) {
	static char buffers[2][80];
	static int turn;
	struct sockaddr_storage address;
	socklen_t size = sizeof address;
	char host[64], port[8];
	if (get(fd, (struct sockaddr *)&address, &size) != 0) return strerror(errno);
	getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
	char *out = buffers[turn ^= 1];
	snprintf(out, sizeof buffers[0], with_port ? "%s:%s" : "%s", host, port);
	return out;
}

static int dial(const char *host, const char *port, int *fd) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
	struct timeval deadline = {.tv_sec = 20};
	int error = getaddrinfo(host, port, &hints, &found);
	if (error != 0) return error;
	*fd = socket(found->ai_family, SOCK_STREAM, 0);
	setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
	setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
	if (connect(*fd, found->ai_addr, found->ai_addrlen) != 0) {
		int failed = errno;
		close(*fd);
		errno = failed;
		*fd = -1;
	}
	freeaddrinfo(found);
	return 0;
}

static void fetch(const char *host) {
	char answer[4096], request[256];
	size_t got = 0;
	ssize_t n;
	int fd;
	if (dial(host, "80", &fd) != 0) return say("out EAI_NONAME\n");
	if (fd < 0) return say("out %s\n", errno_name());
	int size = snprintf(request, sizeof request, "GET / HTTP/1.0\r\nHost: %s\r\n\r\n", host);
	if (write(fd, request, (size_t)size) != size) return say("out %s\n", errno_name());
	while (got < sizeof answer - 1 && (n = read(fd, answer + got, sizeof answer - 1 - got)) > 0) got += (size_t)n;
	answer[got] = 0;
	char *body = strstr(answer, "\r\n\r\n");
	if (body) body[4 + strcspn(body + 4, "\r\n")] = 0;
	say("out %s\nto %s\n", body ? body + 4 : "without a body", text(getpeername, fd, 1));
	say("from %s\n", text(getsockname, fd, 0));
	close(fd);
}

static void try(const char *key, const char *host, const char *port) {
	int fd = -1;
	int error = dial(host, port, &fd);
	if (error != 0) return say("%s %s\n", key, error == EAI_NONAME ? "EAI_NONAME" : gai_strerror(error));
	say("%s %s\n", key, fd >= 0 ? "connected" : errno_name());
	if (fd >= 0) close(fd);
}

static void observe(int client, const char *host, const char *port, const char *unreachable, const char *variable,
                    const char *file) {
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_INET}, *found;
	char line[256] = "", address[64];
	length = 0;
	say("peer %s\nlocal %s\n", text(getpeername, client, 1), text(getsockname, client, 1));
	fetch(host);
	if (getaddrinfo(host, NULL, &hints, &found) == 0) {
		getnameinfo(found->ai_addr, found->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST);
		say("dns %s\n", address);
		freeaddrinfo(found);
	}
	const char *value = getenv(variable);
	say("env %s\n", value ? value : "");
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && read(fd, line, sizeof line - 1) >= 0) line[strcspn(line, "\n")] = 0;
	say("file %s\n", fd < 0 ? strerror(errno) : line);
	if (fd >= 0) close(fd);
	gethostname(line, sizeof line);
	say("hostname %s\n", line);
	try("refused", host, port);
	try("unreachable", unreachable, "80");
	try("unknown", "nobody.example", "80");
	say("by %d\n", (int)getpid());
}

static void serve(int client) {
	char head[2048], host[64], port[8], unreachable[64], variable[64], file[256], answer[sizeof said + 128];
	size_t got = 0;
	ssize_t n;
	while (got < sizeof head - 1 && (n = read(client, head + got, sizeof head - 1 - got)) > 0) {
		head[got += (size_t)n] = 0;
		if (strstr(head, "\r\n\r\n")) break;
	}
	head[got] = 0;
	if (sscanf(head, "GET /%63[^/ ]/%7[^/ ]/%63[^/ ]/%63[^/ ]%255s", host, port, unreachable, variable, file) != 5) return;
	observe(client, host, port, unreachable, variable, file);
	int size = snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
	                    length, said);
	for (int at = 0; at < size && (n = write(client, answer + at, (size_t)(size - at))) > 0; at += (int)n) {}
}

int main(int argc, char **argv) {
	int yes = 1;
	if (argc != 2) return 2;
	signal(SIGPIPE, SIG_IGN);
	struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(listener, (struct sockaddr *)&any, sizeof any) != 0 || listen(listener, 64) != 0) {
		perror("listen");
		return 1;
	}
	printf("listening %s\n", argv[1]);
	fflush(stdout);
	for (;;) {
		int client = accept(listener, NULL, NULL);
		if (client < 0) continue;
		serve(client);
		close(client);
	}
}
