/*
 * Stream sockets of AF_UNIX. "unix serve DIR" listens at DIR/talk, behind a link DIR/link, at DIR/private (for its own uid),
 * at the abstract names talk and "with\0nul", and says "ready"; without it the cases are a client's, with DIR in the
 * environment. A server greets, reads to the end and answers with what it has read and whose the connection is.
 */
#include "talk.h"
#include <stddef.h>
#include <sys/stat.h>
#include <sys/un.h>

static socklen_t name_of(struct sockaddr_un *address, const char *name, size_t length) {
	memset(address, 0, sizeof *address);
	address->sun_family = AF_UNIX;
	memcpy(address->sun_path, name, length);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

static int unix_connect(int fd, const char *name, size_t length) {
	struct sockaddr_un address;
	socklen_t size = name_of(&address, name, length);
	return connect(fd, (struct sockaddr *)&address, size);
}

static const char *below(const char *name) {
	static char path[108];
	snprintf(path, sizeof path, "%s/%s", setting("DIR"), name);
	return path;
}

static int path_connect(int fd, const char *path) { return unix_connect(fd, path, strlen(path) + 1); }

static void tell_unix(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd) {
	struct sockaddr_storage address; /* the longest name and its NUL are one byte more than sockaddr_un has */
	socklen_t length = sizeof address;
	memset(&address, 0, sizeof address);
	int result = get(fd, (struct sockaddr *)&address, &length);
	const char *name = (const char *)&address + 2;
	printf("%s: %s %u ", what, outcome(result), length);
	for (socklen_t i = 2; !result && i < length; i++) putchar(name[i - 2] ? name[i - 2] : '@');
	putchar('\n');
}

/* Of `length` bytes, with no NUL where that is all of sun_path. */
static const char *long_name(size_t length) {
	static char path[109];
	size_t begun = (size_t)snprintf(path, sizeof path, "%s/", setting("DIR"));
	memset(path + begun, 'n', sizeof path - begun);
	path[length] = 0;
	return path;
}

static void exchange(int fd) {
	tell_unix("peer", getpeername, fd);
	tell_unix("local", getsockname, fd);
	tell_line(fd);
	TELL("send", send(fd, "abc", 3, 0));
	TELL("shutdown", shutdown(fd, SHUT_WR));
	tell_all(fd);
}

static void by_path(void) {
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("connect", path_connect(fd, below("talk")));
	TELL("again", path_connect(fd, below("talk")));
	exchange(fd);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	TELL("by a link, non-blocking", path_connect(fd, below("link")));
	fcntl(fd, F_SETFL, 0);
	exchange(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("without a NUL", unix_connect(fd, below("talk"), strlen(below("talk"))));
	tell_line(fd);
	char large[200000];
	memset(large, 'x', sizeof large);
	TELL("much", send(fd, large, sizeof large, MSG_NOSIGNAL) > 0 ? 1 : -1);
}

static void relative(void) {
	if (chdir(setting("DIR"))) perror("chdir");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("connect", path_connect(fd, "talk"));
	exchange(fd);
}

static void longest(void) {
	for (size_t length = 106; length <= 108; length++) {
		int fd = socket(AF_UNIX, SOCK_STREAM, 0);
		printf("%zu bytes\n", length);
		TELL("connect", unix_connect(fd, long_name(length), length));
		exchange(fd);
		char name[108] = "\0talk-";
		memset(name + 6, (int)('a' + length % 10), sizeof name - 6);
		fd = socket(AF_UNIX, SOCK_STREAM, 0);
		TELL("abstract", unix_connect(fd, name, length));
		exchange(fd);
	}
	struct sockaddr_storage longer = {.ss_family = AF_UNIX};
	memcpy((char *)&longer + 2, long_name(108), 108);
	TELL("too long", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&longer, 112));
	TELL("of no length", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&longer, 2));
	TELL("of one byte", connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&longer, 1));
	TELL("empty", unix_connect(socket(AF_UNIX, SOCK_STREAM, 0), "", 1));
}

static int records_connect(const char *name) {
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	int result = *name ? path_connect(fd, below(name)) : unix_connect(fd, name, 1 + strlen(name + 1));
	TELL("connect", result);
	return fd;
}

static void tell_record(int fd, size_t room, int flags) {
	static char text[300000];
	struct iovec part = {text, room};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t got = recvmsg(fd, &message, flags);
	printf("record: %s, flags %x, %.*s\n", outcome(got), message.msg_flags & (MSG_TRUNC | MSG_EOR), got < 0 ? 0 : got > 20 ? 20 : (int)got, text);
}

/* Whose borders are kept. The server sends back each record with one of its length behind it, and after the end "bye". */
static void records(void) {
	int fd = records_connect("records");
	tell_unix("peer", getpeername, fd);
	tell_record(fd, 100, 0);
	static char large[150000];
	memset(large, 'x', sizeof large);
	const size_t lengths[] = {1, 3, 0, 70000, sizeof large, 5};
	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		TELL("send", send(fd, large, lengths[i], i % 2 ? MSG_EOR : 0));
		tell_record(fd, sizeof large, 0);
		tell_record(fd, 100, 0);
	}
	TELL("send", send(fd, "longer than the room", 20, 0));
	tell_record(fd, 4, MSG_PEEK);
	tell_record(fd, 4, 0);
	tell_record(fd, 100, 0);
	for (int i = 0; i < 3; i++) TELL("at once", send(fd, "abc", (size_t)i, 0));
	for (int i = 0; i < 6; i++) tell_record(fd, 100, 0);
	TELL("too large", send(fd, calloc(1, 1 << 24), 1 << 24, 0));
	TELL("shutdown", shutdown(fd, SHUT_WR));
	TELL("send after it", send(fd, "x", 1, MSG_NOSIGNAL));
	tell_record(fd, 100, 0);
	tell_record(fd, 100, 0);
	TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
	fd = records_connect("\0talk-records");
	tell_record(fd, 100, 0);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
	TELL("non-blocking", path_connect(fd, below("records")));
	tell_poll(fd, POLLIN, 10000);
	tell_record(fd, 100, 0);
	tell_record(fd, 100, 0);
	TELL("a stream's", path_connect(socket(AF_UNIX, SOCK_SEQPACKET, 0), below("talk")));
	TELL("with a stream", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("records")));
	TELL("nobody", path_connect(socket(AF_UNIX, SOCK_SEQPACKET, 0), below("none")));
}

/* To whom nobody listens: as much as there is room for, on all the way. */
static void deaf(void) {
	int fd = records_connect("deaf"), result = 0;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	static char record[30000];
	for (int quiet = 0; quiet < 5 && result >= 0;) {
		result = (int)send(fd, record, sizeof record, MSG_NOSIGNAL);
		if (result >= 0) quiet = 0;
		else if (errno == EAGAIN && ++quiet < 5) result = poll(&(struct pollfd){fd, POLLOUT, 0}, 1, 100);
	}
	TELL("send", result);
}

static void on_signal(int number) { (void)number; }

/* A listener that accepts nobody, and has no room for more. */
static void full(void) {
	for (int i = 0; i < 2; i++) {
		int type = i ? SOCK_SEQPACKET : SOCK_STREAM, result = 0;
		const char *path = below(i ? "full-records" : "full");
		for (int k = 0; k < 4 && !result; k++) result = path_connect(socket(AF_UNIX, type | SOCK_NONBLOCK, 0), path);
		TELL("non-blocking", result);
		int fd = socket(AF_UNIX, type, 0);
		set_timeout(fd, SO_SNDTIMEO, 200);
		TELL("with SO_SNDTIMEO", path_connect(fd, path));
		set_timeout(fd, SO_SNDTIMEO, 0);
		struct sigaction action = {.sa_handler = on_signal};
		sigaction(SIGALRM, &action, NULL);
		/* Again and again: the first may come before the call. */
		setitimer(ITIMER_REAL, &(struct itimerval){{0, 200000}, {0, 200000}}, NULL);
		TELL("with a signal", path_connect(fd, path));
		setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
		alarm(CASE_SECONDS);
		TELL("elsewhere", path_connect(fd, below(i ? "records" : "talk")));
	}
}

/* Links and dots that lead above the root end at the root; OUTSIDE is on the laptop, and not in the pod. */
static void outside(void) {
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("above the root and back", path_connect(fd, below("up")));
	exchange(fd);
	TELL("a link to what only the laptop has", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("out")));
	TELL("dots to what only the laptop has", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("out-by-dots")));
	TELL("an absolute link", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("absolute")));
}

static void abstract(void) {
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("connect", unix_connect(fd, "\0talk", 5));
	exchange(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	TELL("with a NUL", unix_connect(fd, "\0talk-with\0nul", 14));
	exchange(fd);
	TELL("nobody", unix_connect(socket(AF_UNIX, SOCK_STREAM, 0), "\0talk-nobody", 12));
	TELL("longer", unix_connect(socket(AF_UNIX, SOCK_STREAM, 0), "\0talk\0", 6));
}

static void errors(void) {
	TELL("no such file", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("none")));
	TELL("no such directory", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("none/talk")));
	TELL("below a file", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("file/talk")));
	TELL("a file", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("file")));
	TELL("nobody listens", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("dead")));
	TELL("a loop", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("loop")));
	TELL("another type", path_connect(socket(AF_UNIX, SOCK_STREAM, 0), below("datagrams")));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	TELL("connected", path_connect(fd, below("talk")));
	TELL("connected already", path_connect(fd, below("none")));
}

/* Pairs, and sockets of the program's own, which are nobody else's business. */
static void own(void) {
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
	struct sockaddr_un address;
	socklen_t size = name_of(&address, "\0own-of-the-witness", 19);
	TELL("bind", bind(listener, (struct sockaddr *)&address, size));
	TELL("listen", listen(listener, 1));
	TELL("connect", unix_connect(socket(AF_UNIX, SOCK_STREAM, 0), "\0own-of-the-witness", 19));
	TELL("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair));
	TELL("send", send(pair[0], "x", 1, 0));
}

static void serve(int fd) {
	if (fork()) return;
	for (;;) {
		int accepted = accept(fd, NULL, NULL);
		if (accepted < 0 || fork()) {
			close(accepted);
			continue;
		}
		struct ucred who = {0};
		socklen_t length = sizeof who;
		getsockopt(accepted, SOL_SOCKET, SO_PEERCRED, &who, &length);
		dprintf(accepted, "hello\n");
		char text[4096];
		size_t total = 0;
		ssize_t got;
		while (total < sizeof text && (got = recv(accepted, text + total, sizeof text - total, 0)) > 0) total += (size_t)got;
		dprintf(accepted, "got %.*s, uid %u gid %u\n", (int)total, text, who.uid, who.gid);
		_exit(0);
	}
}

static void serve_records(int fd) {
	if (fork()) return;
	for (;;) {
		int accepted = accept(fd, NULL, NULL), on = 1;
		if (accepted < 0 || fork()) {
			close(accepted);
			continue;
		}
		static char text[300000];
		char control[64];
		setsockopt(accepted, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on); /* an empty record has it, the end has none */
		send(accepted, "hello", 5, 0);
		for (;;) {
			struct iovec part = {text, sizeof text};
			struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
			ssize_t got = recvmsg(accepted, &message, 0);
			if (got < 0 || (got == 0 && message.msg_controllen == 0)) break;
			send(accepted, text, (size_t)got, MSG_NOSIGNAL);
			char length[20];
			send(accepted, length, (size_t)snprintf(length, sizeof length, "%zd", got), MSG_NOSIGNAL);
		}
		send(accepted, "bye", 3, MSG_NOSIGNAL);
		_exit(0);
	}
}

/* Reads nothing, and tells when the other end is gone. */
static void serve_deaf(int fd) {
	if (fork()) return;
	for (;;) {
		int accepted = accept(fd, NULL, NULL);
		struct pollfd gone = {accepted, 0, 0};
		if (accepted >= 0 && poll(&gone, 1, CASE_SECONDS * 1000) == 1) puts("gone");
		close(accepted);
	}
}

static int listen_at(int type, const char *name, size_t length) {
	struct sockaddr_un address;
	socklen_t size = name_of(&address, name, length);
	int fd = socket(AF_UNIX, type, 0);
	if (bind(fd, (struct sockaddr *)&address, size) || (type != SOCK_DGRAM && listen(fd, 64))) {
		perror("bind");
		exit(1);
	}
	return fd;
}

static int serving(void) {
	signal(SIGPIPE, SIG_IGN);
	const char *path = below("talk");
	serve(listen_at(SOCK_STREAM, path, strlen(path) + 1));
	for (size_t length = 106; length <= 108; length++) {
		serve(listen_at(SOCK_STREAM, long_name(length), length));
		char name[108] = "\0talk-";
		memset(name + 6, (int)('a' + length % 10), sizeof name - 6);
		serve(listen_at(SOCK_STREAM, name, length));
	}
	serve(listen_at(SOCK_STREAM, "\0talk", 5));
	serve(listen_at(SOCK_STREAM, "\0talk-with\0nul", 14));
	path = below("records");
	serve_records(listen_at(SOCK_SEQPACKET, path, strlen(path) + 1));
	serve_records(listen_at(SOCK_SEQPACKET, "\0talk-records", 13));
	path = below("deaf");
	serve_deaf(listen_at(SOCK_SEQPACKET, path, strlen(path) + 1));
	listen(listen_at(SOCK_STREAM, below("full"), strlen(below("full")) + 1), 0);
	listen(listen_at(SOCK_SEQPACKET, below("full-records"), strlen(below("full-records")) + 1), 0);
	path = below("dead");
	close(listen_at(SOCK_STREAM, path, strlen(path) + 1));
	path = below("datagrams");
	listen_at(SOCK_DGRAM, path, strlen(path) + 1);
	if (symlink("talk", below("link")) || symlink("loop", below("loop"))) return 1;
	char target[256];
	snprintf(target, sizeof target, "../../../../../../../..%s", below("talk"));
	if (symlink(target, below("up")) || symlink(setting("OUTSIDE"), below("out"))) return 1;
	snprintf(target, sizeof target, "%s", below("talk"));
	if (symlink(target, below("absolute"))) return 1;
	snprintf(target, sizeof target, "../../../../../../../..%s", setting("OUTSIDE"));
	if (symlink(target, below("out-by-dots"))) return 1;
	close(open(below("file"), O_CREAT | O_WRONLY, 0644));
	puts("ready");
	pause();
	return 0;
}

int main(int argc, char **argv) {
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc == 2 && strcmp(argv[1], "serve") == 0) return serving();
	const struct test tests[] = {
	    {"path", by_path}, {"relative", relative}, {"longest", longest}, {"outside", outside}, {"records", records}, {"full", full}, {"deaf", deaf},
	    {"abstract", abstract}, {"errors", errors}, {"own", own},
	};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
