/*
 * Listeners in many ways. Each case says "connect PORT" on a line when a client is to come; it greets with its port and
 * what accept told of the client's address family, reads to the end, and answers with what it has read.
 */
#include "talk.h"
#include <pthread.h>

static int listener(int domain, const char *host, int port, bool shares) {
	int fd = socket(domain, SOCK_STREAM, 0);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (shares) set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	TELL("bind", bind_to(fd, host, port));
	TELL("listen", listen(fd, 8));
	tell_local(fd);
	return fd;
}

static void talk_with(int fd) {
	tell_peer(fd);
	tell_local(fd);
	dprintf(fd, "welcome\n");
	tell_all(fd);
	dprintf(fd, "bye\n");
	TELL("shutdown", shutdown(fd, SHUT_WR));
	close(fd);
}

static void serve_one(int fd, int port) {
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	printf("connect %d\n", port);
	int accepted = accept(fd, (struct sockaddr *)&from, &length);
	printf("accepted: %s\n", accepted < 0 ? outcome(-1) : address_text(&from));
	if (accepted >= 0) talk_with(accepted);
}

static void v4(void) { serve_one(listener(AF_INET, "*", 8101, false), 8101); }
static void dual(void) { serve_one(listener(AF_INET6, "::", 8102, false), 8102); }

static void by_address(void) { serve_one(listener(AF_INET, setting("POD"), 8103, false), 8103); }

static void twice(void) {
	int fd = listener(AF_INET, "*", 8104, false);
	TELL("listen again", listen(fd, 4));
	serve_one(fd, 8104);
	TELL("bind again", bind_to(fd, "*", 8104));
	TELL("another on the same", bind_to(socket(AF_INET, SOCK_STREAM, 0), "*", 8104));
	TELL("connect on a listener", connect_to(fd, setting("PEER"), 7100));
}

static void free_port(void) {
	int fd = listener(AF_INET, "*", 0, false);
	struct sockaddr_in own;
	socklen_t length = sizeof own;
	getsockname(fd, (struct sockaddr *)&own, &length);
	int client = socket(AF_INET, SOCK_STREAM, 0);
	TELL("connect to it", connect_to(client, "127.0.0.1", ntohs(own.sin_port)));
	TELL("accept", accept(fd, NULL, NULL) >= 0 ? 0 : -1);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	TELL("listen without bind", listen(fd, 1));
	tell_local(fd);
}

/* Its own clients, from the same process: by loopback, by the pod's address and by its name. */
static void own(void) {
	int fd = listener(AF_INET, "*", 8105, false);
	char name[256] = "";
	gethostname(name, sizeof name - 1);
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
	int failed = getaddrinfo(name, "8105", &hints, &found);
	for (int way = 0; way < 3; way++) {
		int client = socket(AF_INET, SOCK_STREAM, 0), result = -1;
		if (way == 0) result = connect_to(client, "127.0.0.1", 8105);
		if (way == 1) result = connect_to(client, setting("POD"), 8105);
		if (way == 2 && !failed) result = connect(client, found->ai_addr, found->ai_addrlen);
		TELL("connect", result);
		int accepted = accept(fd, NULL, NULL);
		TELL("send", send(client, "me", 2, 0));
		shutdown(client, SHUT_WR);
		tell_all(accepted);
		close(accepted);
		close(client);
	}
}

static void on_signal(int number) { (void)number; }

static void timeouts(void) {
	int fd = listener(AF_INET, "*", 8106, false);
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	set_timeout(fd, SO_RCVTIMEO, 200);
	TELL("accept with SO_RCVTIMEO", accept(fd, (struct sockaddr *)&from, &length));
	TELL("without an address", accept(fd, NULL, NULL));
	set_timeout(fd, SO_RCVTIMEO, 0);
	struct sigaction action = {.sa_handler = on_signal};
	sigaction(SIGALRM, &action, NULL);
	struct itimerval soon = {{0, 0}, {0, 200000}};
	setitimer(ITIMER_REAL, &soon, NULL);
	TELL("accept with a signal", accept(fd, (struct sockaddr *)&from, &length));
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	serve_one(fd, 8106);
	alarm(CASE_SECONDS);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	TELL("accept without a client", accept(fd, (struct sockaddr *)&from, &length));
	TELL("accept of what does not listen", accept(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&from, &length));
}

static void *shut_later(void *argument) {
	usleep(200000);
	shutdown(*(int *)argument, SHUT_RDWR);
	return NULL;
}

static void shut(void) {
	int fd = listener(AF_INET, "*", 8107, false);
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	pthread_t thread;
	pthread_create(&thread, NULL, shut_later, &fd);
	TELL("accept while it is shut down", accept(fd, (struct sockaddr *)&from, &length));
	pthread_join(thread, NULL);
	TELL("listen again", listen(fd, 8));
	serve_one(fd, 8107);
}

/* As prefork servers, and those that share a port. */
static void shared(void) {
	int first = listener(AF_INET, "*", 8108, true);
	int second = listener(AF_INET, "*", 8108, true);
	for (int i = 0; i < 2; i++) {
		printf("connect %d\n", 8108);
		struct pollfd both[] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
		poll(both, 2, 10000);
		int accepted = accept(both[0].revents ? first : second, NULL, NULL);
		talk_with(accepted);
	}
	int fd = listener(AF_INET, "*", 8109, false);
	for (int i = 0; i < 2; i++) {
		fflush(stdout);
		pid_t child = fork();
		if (child == 0) {
			serve_one(fd, 8109);
			exit(0);
		}
		waitpid(child, NULL, 0);
	}
}

static void inherited(void) {
	if (getenv("LISTEN_FDS")) {
		serve_one(3, 8110);
		return;
	}
	int fd = listener(AF_INET, "*", 8110, false), pair[2];
	setenv("LISTEN_FDS", "1", 1);
	pid_t child = fork();
	if (child == 0) {
		dup2(fd, 3);
		execl("/proc/self/exe", "in", "inherited", (char *)NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	unsetenv("LISTEN_FDS");
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pass(pair[0], fd);
	close(fd);
	child = fork();
	if (child == 0) {
		serve_one(take(pair[1]), 8110);
		exit(0);
	}
	waitpid(child, NULL, 0);
}

/* Of IPv6 only: alone, where nobody is there for IPv4, and beside one of IPv4 on the same port. */
static void v6only(void) {
	for (int port = 8111; port <= 8112; port++) {
		int fd = socket(AF_INET6, SOCK_STREAM, 0), v4 = -1;
		set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
		set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
		TELL("bind", bind_to(fd, "::", port));
		TELL("listen", listen(fd, 8));
		tell_local(fd);
		if (port == 8112) v4 = listener(AF_INET, "*", port, false);
		printf("connect %d\n", port);
		if (v4 >= 0) talk_with(accept(v4, NULL, NULL));
		printf("connect %d by IPv6\n", port);
		struct sockaddr_storage from;
		socklen_t length = sizeof from;
		int accepted = accept(fd, (struct sockaddr *)&from, &length);
		printf("accepted: %s\n", accepted < 0 ? outcome(-1) : address_text(&from));
		talk_with(accepted);
	}
}

struct waiting {
	int fd;
	bool asks_who;
};

static void *accept_there(void *argument) {
	const struct waiting *waiting = argument;
	struct sockaddr_storage from;
	socklen_t length = sizeof from;
	int accepted = waiting->asks_who ? accept(waiting->fd, (struct sockaddr *)&from, &length) : accept(waiting->fd, NULL, NULL);
	TELL("accept, closed meanwhile", accepted < 0 ? -1 : 0);
	talk_with(accepted);
	return NULL;
}

/* The call holds what it waits for, whatever becomes of the descriptor. */
static void closed(void) {
	for (int port = 8113; port <= 8114; port++) {
		struct waiting waiting = {listener(AF_INET, "*", port, false), port == 8113};
		pthread_t thread;
		pthread_create(&thread, NULL, accept_there, &waiting);
		usleep(waiting.asks_who ? 600000 : 200000); /* the descriptor must be in use: on a busy machine, too */
		TELL("close", close(waiting.fd));
		int other = socket(AF_INET, SOCK_STREAM, 0);
		set_option(other, SOL_SOCKET, SO_REUSEADDR, 1);
		TELL("another on the same", bind_to(other, "*", port));
		close(other);
		printf("connect %d\n", port);
		pthread_join(thread, NULL);
		TELL("accept of a closed one", accept(waiting.fd, NULL, NULL));
		serve_one(listener(AF_INET, "*", port, false), port);
	}
}

int main(int argc, char **argv) {
	const struct test tests[] = {
	    {"v4", v4},         {"dual", dual},         {"address", by_address}, {"twice", twice},   {"free", free_port},
	    {"own", own},       {"timeouts", timeouts}, {"shut", shut},          {"shared", shared}, {"inherited", inherited},
	    {"v6only", v6only}, {"closed", closed},
	};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
