/*
 * UDP sockets whose descriptors are copied, inherited, passed and closed, and what select(2) can watch. PEER's port 7104
 * sends back what comes, with the address that it comes from.
 */
#include "talk.h"
#include <sys/resource.h>
#include <sys/select.h>

static int udp(void) {
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	set_timeout(fd, SO_RCVTIMEO, 10000);
	return fd;
}

/* By messages with a name each way. */
static void ask(const char *what, int fd) {
	struct address to = address_of(setting("PEER"), 7104);
	char text[128] = "";
	struct sockaddr_storage from = {0};
	struct iovec part = {(char *)what, strlen(what)};
	struct msghdr message = {.msg_name = &to.storage, .msg_namelen = to.length, .msg_iov = &part, .msg_iovlen = 1};
	ssize_t result = sendmsg(fd, &message, 0);
	if (result < 0) {
		TELL(what, result);
		return;
	}
	part = (struct iovec){text, sizeof text - 1};
	message = (struct msghdr){.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1};
	result = recvmsg(fd, &message, 0);
	printf("%s: %s, from %s: %s\n", what, outcome(result), address_text(&from), text);
}

/* The same by calls that have the name among their arguments. */
static void ask_plainly(const char *what, int fd) {
	struct address to = address_of(setting("PEER"), 7104);
	char text[128] = "";
	struct sockaddr_storage from = {0};
	socklen_t length = sizeof from;
	ssize_t result = sendto(fd, what, strlen(what), 0, (struct sockaddr *)&to.storage, to.length);
	if (result >= 0) result = recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *)&from, &length);
	printf("%s: %s, from %s: %s\n", what, outcome(result), address_text(&from), text);
}

static void tell_flags(int fd) {
	printf("closed by exec: %d, blocking: %d\n", fcntl(fd, F_GETFD) & FD_CLOEXEC, !(fcntl(fd, F_GETFL) & O_NONBLOCK));
}

static void selecting(void) {
	int fd = udp();
	printf("below FD_SETSIZE: %d\n", fd < FD_SETSIZE);
	struct address to = address_of(setting("PEER"), 7104);
	struct timeval late = {10, 0};
	fd_set readable;
	FD_ZERO(&readable);
	FD_SET(fd, &readable);
	TELL("sendto", sendto(fd, "x", 1, 0, (struct sockaddr *)&to.storage, to.length));
	TELL("select", select(fd + 1, &readable, NULL, NULL, &late));
	printf("readable: %d\n", FD_ISSET(fd, &readable) ? 1 : 0);
	TELL("recv", recv(fd, (char[64]){0}, 64, 0) > 0 ? 0 : -1);
}

static void copied(void) {
	int fd = udp(), copy = dup(fd), second = fcntl(fd, F_DUPFD, 10), third = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ask("first", fd);
	ask("dup", copy);
	tell_flags(copy);
	ask("F_DUPFD", second);
	printf("at least ten: %d\n", second >= 10);
	tell_flags(second);
	ask("F_DUPFD_CLOEXEC", third);
	tell_flags(third);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	tell_flags(copy);
	fcntl(copy, F_SETFL, 0);
	close(fd);
	ask("of the closed one", fd);
	ask("dup alone", copy);
	copy = dup(copy);
	ask("dup of dup", copy);
	TELL("connect", connect_to(copy, setting("PEER"), 7104));
	tell_peer(second);
	TELL("dup of none", dup(-1));
	TELL("dup2 to itself", dup2(copy, copy) == copy ? 0 : -1);
	TELL("dup3 to itself", dup3(copy, copy, 0));
	TELL("F_DUPFD far above", fcntl(copy, F_DUPFD, 1 << 30));
	TELL("F_DUPFD below", fcntl(copy, F_DUPFD, -1));
	/* Sockets of no name, and files, are copied as always. */
	int pair[2];
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	TELL("dup of another", dup(pair[0]) >= 0 ? 0 : -1);
	/* Into the place of another one, which closes that. */
	int other = udp();
	TELL("dup2 over another", dup2(copy, other) == other ? 0 : -1);
	tell_peer(other);
	ask("in its place", other);
}

static void inherited(void) {
	const char *from_before = getenv("NUMBER");
	if (from_before) {
		ask("after exec", atoi(from_before));
		tell_flags(atoi(from_before));
		return;
	}
	int fd = udp(), closed = udp();
	pid_t child = fork();
	if (child == 0) {
		ask("after fork", fd);
		ask("one of its own", udp());
		exit(0);
	}
	waitpid(child, NULL, 0);
	ask("the parent's", fd);
	fcntl(fd, F_SETFD, 0);
	child = fork();
	if (child == 0) {
		char number[16];
		snprintf(number, sizeof number, "%d", fd);
		setenv("NUMBER", number, 1);
		execl("/proc/self/exe", "numbers", "inherited", (char *)NULL);
		_exit(1);
	}
	waitpid(child, NULL, 0);
	ask("still", closed);
}

static void closed(void) {
	int first = udp();
	for (int i = 0; i < 300; i++) {
		int fd = udp();
		if (fd < 0) TELL("socket", fd);
		if (i % 100 == 0) ask("again", fd);
		close(fd);
	}
	ask("first", first);
	int files[4];
	for (int i = 0; i < 4; i++) files[i] = open("/dev/null", O_RDONLY);
	printf("files are low: %d\n", files[3] < 100);
	for (int fd = 3; fd < 1024; fd++) close(fd);
	ask("after closing all", first);
	ask("anew", udp());
}

/* What is at a low number is spoken with by sendto and recvfrom as before. */
static void low(void) {
	int fd = udp(), pair[2];
	TELL("dup2", dup2(fd, 40));
	ask_plainly("at 40", 40);
	TELL("dup3", dup3(fd, 41, O_CLOEXEC));
	tell_flags(41);
	ask_plainly("at 41", 41);
	socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	pass(pair[0], fd);
	fd = take(pair[1]);
	ask_plainly("passed", fd);
	ask("passed, and copied high", dup2(fd, 1000));
	TELL("connect", connect_to(fd, setting("PEER"), 7104));
	TELL("send", send(fd, "x", 1, 0));
	struct iovec part = {(char[64]){0}, 64};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	TELL("recvmsg of a connected one", recvmsg(fd, &message, 0) > 0 ? 0 : -1);
}

/* More than there are numbers, and a limit that is below them. */
static void many(void) {
	int fds[140];
	for (int i = 0; i < 140; i++) fds[i] = udp();
	ask("first", fds[0]);
	ask_plainly("last", fds[139]);
	close(fds[0]);
	ask("in the free place", dup2(fds[1], fds[0]));
	for (int i = 0; i < 140; i++) close(fds[i]);
	ask("after them", udp());
	struct rlimit few = {200, 200};
	TELL("setrlimit", setrlimit(RLIMIT_NOFILE, &few));
	ask_plainly("with a limit", udp());
}

int main(int argc, char **argv) {
	const struct test tests[] = {{"selecting", selecting}, {"copied", copied}, {"inherited", inherited},
	                             {"closed", closed},       {"low", low},       {"many", many}};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
