/* TCP clients: PEER, PEER6 (or none), POD and REFUSED (a host on whose port 81 nobody listens) are in the environment. */
#include "talk.h"

static int stream(int domain, int flags) { return socket(domain, SOCK_STREAM | flags, 0); }

/* Greeting, half-close, answer. */
static void exchange(int fd) {
	tell_local(fd);
	tell_peer(fd);
	tell_line(fd);
	TELL("send", send(fd, "abc", 3, 0));
	TELL("shutdown", shutdown(fd, SHUT_WR));
	tell_all(fd);
}

static void blocking(void) {
	int fd = stream(AF_INET, 0);
	tell_local(fd);
	tell_peer(fd);
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	TELL("again", connect_to(fd, setting("PEER"), 7100));
	exchange(fd);
	TELL("send after shutdown", send(fd, "x", 1, MSG_NOSIGNAL));
	tell_error(fd);
}

static void nonblocking(void) {
	int fd = stream(AF_INET, SOCK_NONBLOCK);
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	tell_poll(fd, POLLOUT, 10000);
	tell_error(fd);
	TELL("again", connect_to(fd, setting("PEER"), 7100));
	TELL("and again", connect_to(fd, setting("PEER"), 7100));
	fcntl(fd, F_SETFL, 0);
	exchange(fd);
}

static void mapped(void) {
	char host[64];
	snprintf(host, sizeof host, "::ffff:%s", setting("PEER"));
	int fd = stream(AF_INET6, 0);
	TELL("connect", connect_to(fd, host, 7100));
	exchange(fd);
	fd = stream(AF_INET6, 0);
	set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	TELL("v6only", connect_to(fd, host, 7100));
}

/* What is no address of the socket's family. */
static void families(void) {
	struct address to = address_of(setting("PEER"), 7100);
	TELL("short", connect(stream(AF_INET, 0), (struct sockaddr *)&to.storage, 8));
	TELL("one byte", connect(stream(AF_INET, 0), (struct sockaddr *)&to.storage, 1));
	TELL("IPv4 on IPv6", connect(stream(AF_INET6, 0), (struct sockaddr *)&to.storage, sizeof(struct sockaddr_in6)));
	TELL("short IPv4 on IPv6", connect(stream(AF_INET6, 0), (struct sockaddr *)&to.storage, to.length));
	struct address v6 = address_of("2001:db8::1", 7100);
	TELL("IPv6 on IPv4", connect(stream(AF_INET, 0), (struct sockaddr *)&v6.storage, v6.length));
	TELL("longer", connect(stream(AF_INET, 0), (struct sockaddr *)&to.storage, sizeof to.storage));
	TELL("too long", connect(stream(AF_INET, 0), (struct sockaddr *)&to.storage, 4000));
	TELL("nowhere", connect(stream(AF_INET, 0), (struct sockaddr *)8, 16));
	TELL("no socket", connect_to(open("/dev/null", O_RDWR), setting("PEER"), 7100));
	TELL("no descriptor", connect_to(999, setting("PEER"), 7100));
}

static void ipv6(void) {
	int fd = stream(AF_INET6, 0);
	TELL("connect", connect_to(fd, setting("PEER6"), 7100));
	exchange(fd);
	fd = stream(AF_INET6, SOCK_NONBLOCK);
	set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
	TELL("v6only", connect_to(fd, setting("PEER6"), 7100));
	tell_poll(fd, POLLOUT, 10000);
	tell_error(fd);
	fcntl(fd, F_SETFL, 0);
	exchange(fd);
	TELL("refused", connect_to(stream(AF_INET6, 0), setting("PEER6"), 81));
	TELL("unreachable", connect_to(stream(AF_INET6, 0), setting("NO_ROUTE6"), 81));
	fd = socket(AF_INET6, SOCK_DGRAM, 0);
	set_timeout(fd, SO_RCVTIMEO, 10000);
	TELL("datagram connect", connect_to(fd, setting("PEER6"), 7104));
	tell_peer(fd);
	TELL("send", send(fd, "six", 3, 0));
	tell_poll(fd, POLLIN, 10000);
	char text[128] = "";
	if (recv(fd, text, sizeof text - 1, MSG_DONTWAIT) > 0) puts(text);
}

static long fast_open(int fd, const char *host, int port, bool is_message) {
	struct address to = address_of(host, port);
	if (!is_message) return sendto(fd, "fast", 4, MSG_FASTOPEN | MSG_NOSIGNAL, (struct sockaddr *)&to.storage, to.length);
	struct iovec parts[] = {{"fa", 2}, {"st", 2}};
	struct msghdr message = {.msg_name = &to.storage, .msg_namelen = to.length, .msg_iov = parts, .msg_iovlen = 2};
	return sendmsg(fd, &message, MSG_FASTOPEN | MSG_NOSIGNAL);
}

static void after_fast_open(int fd) {
	fcntl(fd, F_SETFL, 0);
	tell_local(fd);
	tell_peer(fd);
	TELL("shutdown", shutdown(fd, SHUT_WR));
	tell_all(fd);
}

static void fastopen(void) {
	for (int is_message = 0; is_message <= 1; is_message++) {
		printf("by %s\n", is_message ? "sendmsg" : "sendto");
		int fd = stream(AF_INET, 0);
		TELL("send", fast_open(fd, setting("PEER"), 7100, is_message));
		TELL("again", fast_open(fd, setting("PEER"), 7100, is_message));
		after_fast_open(fd);
		fd = stream(AF_INET, 0);
		TELL("refused", fast_open(fd, setting("REFUSED"), 81, is_message));
		tell_error(fd);
		fd = stream(AF_INET, SOCK_NONBLOCK);
		TELL("non-blocking", fast_open(fd, setting("PEER"), 7100, is_message));
		tell_poll(fd, POLLOUT, 10000);
		tell_error(fd);
		TELL("data", send(fd, "late", 4, 0));
		after_fast_open(fd);
		fd = stream(AF_INET, SOCK_NONBLOCK);
		TELL("non-blocking refused", fast_open(fd, setting("REFUSED"), 81, is_message));
		tell_poll(fd, POLLOUT, 10000);
		tell_error(fd);
	}
	int fd = stream(AF_INET, 0);
	TELL("not connected", sendto(fd, "x", 1, MSG_NOSIGNAL, NULL, 0));
	struct address to = address_of(setting("PEER"), 7100);
	TELL("address without MSG_FASTOPEN", sendto(fd, "x", 1, MSG_NOSIGNAL, (struct sockaddr *)&to.storage, to.length));
	for (int flags = 0; flags <= SOCK_NONBLOCK; flags += SOCK_NONBLOCK) {
		fd = stream(AF_INET, flags);
		set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
		TELL("TCP_FASTOPEN_CONNECT", connect_to(fd, setting("PEER"), 7100));
		tell_poll(fd, POLLOUT, 10000);
		tell_error(fd);
		TELL("data", send(fd, "late", 4, 0));
		after_fast_open(fd);
		fd = stream(AF_INET, flags);
		set_option(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1);
		TELL("TCP_FASTOPEN_CONNECT refused", connect_to(fd, setting("REFUSED"), 81));
		if (flags) tell_poll(fd, POLLOUT, 10000);
		tell_error(fd);
	}
}

static void reused(void) {
	int fd = stream(AF_INET, 0);
	TELL("disconnect of a new one", disconnect(fd));
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	tell_line(fd);
	TELL("disconnect", disconnect(fd));
	tell_peer(fd);
	tell_error(fd);
	TELL("send", send(fd, "x", 1, MSG_NOSIGNAL));
	TELL("connect", connect_to(fd, setting("PEER"), 7101));
	tell_peer(fd);
	tell_all(fd);
	TELL("disconnect", disconnect(fd));
	TELL("refused", connect_to(fd, setting("REFUSED"), 81));
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	exchange(fd);
	fd = stream(AF_INET, SOCK_NONBLOCK);
	TELL("in progress", connect_to(fd, setting("BLACK_HOLE"), 80));
	TELL("again", connect_to(fd, setting("BLACK_HOLE"), 80));
	TELL("disconnect", disconnect(fd));
	tell_error(fd);
	tell_peer(fd);
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	tell_poll(fd, POLLOUT, 10000);
	tell_error(fd);
	fcntl(fd, F_SETFL, 0);
	exchange(fd);
}

static void bound_to(const char *host, int port, int no_port) {
	printf("bound to %s %d%s\n", host, port, no_port ? " without a port" : "");
	int fd = stream(strchr(host, ':') ? AF_INET6 : AF_INET, 0);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (no_port) set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
	TELL("bind", bind_to(fd, host, port));
	tell_local(fd);
	if (strchr(host, ':')) {
		char peer[64];
		snprintf(peer, sizeof peer, "::ffff:%s", setting("PEER"));
		TELL("connect", connect_to(fd, peer, 7100));
	} else {
		TELL("connect", connect_to(fd, setting("PEER"), 7100));
	}
	exchange(fd);
}

static void bound(void) {
	bound_to("*", 0, 0);
	bound_to("*", 0, 1);
	bound_to(setting("POD"), 0, 0);
	bound_to(setting("POD"), 0, 1);
	bound_to("*", 4100, 0);
	bound_to(setting("POD"), 4101, 0);
	bound_to("::", 0, 0);
	bound_to("::", 4102, 0);
	int fd = stream(AF_INET, 0);
	TELL("bind to an address of nobody", bind_to(fd, "192.0.2.1", 0));
	TELL("bind", bind_to(fd, "127.0.0.1", 0));
	TELL("connect from loopback", connect_to(fd, setting("PEER"), 7100));
	fd = stream(AF_INET, 0);
	TELL("bind", bind_to(fd, "*", 4103));
	TELL("bind twice", bind_to(fd, "*", 4104));
	fd = stream(AF_INET, 0);
	TELL("bind to the same", bind_to(fd, "*", 4103));
	fd = stream(AF_INET, SOCK_NONBLOCK);
	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	TELL("bind", bind_to(fd, "*", 4105));
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	tell_poll(fd, POLLOUT, 10000);
	tell_error(fd);
	fcntl(fd, F_SETFL, 0);
	exchange(fd);
}

static void half(void) {
	int fd = stream(AF_INET, 0);
	TELL("connect", connect_to(fd, setting("PEER"), 7101));
	tell_all(fd);
	tell_poll(fd, POLLIN | POLLRDHUP, 10000);
	for (int i = 0; i < 3; i++) TELL("send after the peer's end", send(fd, "0123456789", 10, MSG_NOSIGNAL));
	TELL("shutdown", shutdown(fd, SHUT_WR));
	close(fd);
	fd = stream(AF_INET, 0);
	TELL("connect", connect_to(fd, setting("PEER"), 7103));
	tell_all(fd);
	fd = stream(AF_INET, 0);
	TELL("connect", connect_to(fd, setting("PEER"), 7100));
	tell_line(fd);
	TELL("shutdown of reading", shutdown(fd, SHUT_RD));
	TELL("send", send(fd, "abc", 3, 0));
	TELL("read", recv(fd, (char[1]){0}, 1, 0));
	TELL("shutdown", shutdown(fd, SHUT_RDWR));
	/* Whether the peer's reset is here already is chance: it is told once, and before EPIPE. */
	send(fd, "abc", 3, MSG_NOSIGNAL);
	TELL("send", send(fd, "abc", 3, MSG_NOSIGNAL));
	fd = stream(AF_INET, 0);
	TELL("connect", connect_to(fd, setting("PEER"), 7102));
	tell_poll(fd, POLLIN, 10000);
	TELL("read of a reset one", recv(fd, (char[1]){0}, 1, 0));
	TELL("read again", recv(fd, (char[1]){0}, 1, 0));
	TELL("send", send(fd, "abc", 3, MSG_NOSIGNAL));
}

int main(int argc, char **argv) {
	const struct test tests[] = {
	    {"blocking", blocking}, {"nonblocking", nonblocking}, {"mapped", mapped}, {"families", families},
	    {"ipv6", ipv6},         {"fastopen", fastopen},       {"reused", reused}, {"bound", bound},
	    {"half", half},
	};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
