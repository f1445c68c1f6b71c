/*
 * Sockets that are no business of inpod's: run on the laptop without inpod and under it, where they tell the same. POD is
 * an address that only the pod has.
 */
#include "talk.h"
#include <ifaddrs.h>
#include <linux/if_alg.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/icmp6.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sys/un.h>

enum { IDENTIFIER = 0x4c4c, WAIT_MS = 10000 };

static uint16_t checksum(const void *bytes, size_t length) {
	uint32_t sum = 0;
	for (size_t i = 0; i + 1 < length; i += 2) sum += (uint32_t)((const uint8_t *)bytes)[i] << 8 | ((const uint8_t *)bytes)[i + 1];
	while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

static struct icmphdr echo_request(void) {
	struct icmphdr request = {.type = ICMP_ECHO, .un.echo = {htons(IDENTIFIER), htons(7)}};
	request.checksum = checksum(&request, sizeof request);
	return request;
}

static bool tell_socket(const char *what, int fd) {
	if (fd < 0) TELL(what, fd);
	else set_timeout(fd, SO_RCVTIMEO, WAIT_MS);
	return fd >= 0;
}

static void tell_message(int fd) {
	uint8_t bytes[256];
	char control[256];
	struct sockaddr_storage from = {0};
	struct iovec part = {bytes, sizeof bytes};
	struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &part, .msg_iovlen = 1,
	                         .msg_control = control, .msg_controllen = sizeof control};
	ssize_t got = recvmsg(fd, &message, 0);
	printf("message: %s from %s, control %zu\n", outcome(got), got < 0 ? "nobody" : address_text(&from), message.msg_controllen);
}

static void tell_echo(int fd, size_t header) {
	uint8_t bytes[256];
	struct sockaddr_storage from;
	socklen_t length;
	ssize_t got;
	do {
		length = sizeof from;
		got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
	} while (header && got > (ssize_t)header && bytes[header] == ICMP_ECHO); /* its own request, over loopback */
	if (got < (ssize_t)(header + sizeof(struct icmphdr))) {
		TELL("no answer", got);
		return;
	}
	struct icmphdr answer;
	memcpy(&answer, bytes + header, sizeof answer);
	printf("answer: %zd from %s, type %d, id %x, sequence %d\n", got, address_text(&from), answer.type,
	       ntohs(answer.un.echo.id), ntohs(answer.un.echo.sequence));
}

static void ping(int fd, size_t header) {
	struct address to = address_of("127.0.0.1", 0), pod = address_of(setting("POD"), 0);
	struct icmphdr request = echo_request();
	TELL("sendto", sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&to.storage, to.length));
	tell_poll(fd, POLLIN, WAIT_MS);
	tell_echo(fd, header);
	TELL("to the pod", sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&pod.storage, pod.length));
	TELL("connect to the pod", connect(fd, (struct sockaddr *)&pod.storage, pod.length));
	TELL("connect", connect(fd, (struct sockaddr *)&to.storage, to.length));
	tell_peer(fd);
	TELL("send", send(fd, &request, sizeof request, 0));
	tell_echo(fd, header);
	set_option(fd, IPPROTO_IP, IP_RECVTTL, 1);
	struct iovec part = {&request, sizeof request};
	struct msghdr message = {.msg_name = &to.storage, .msg_namelen = to.length, .msg_iov = &part, .msg_iovlen = 1};
	TELL("sendmsg", sendmsg(fd, &message, 0));
	tell_message(fd);
	TELL("disconnect", disconnect(fd));
	tell_peer(fd);
	tell_error(fd);
}

static void icmp(void) {
	int fd = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
	if (!tell_socket("socket", fd)) return;
	printf("number: %s\n", fd < 16 ? "low" : "high");
	TELL("bind", bind_to(fd, "127.0.0.1", IDENTIFIER));
	struct sockaddr_in own;
	socklen_t length = sizeof own;
	TELL("getsockname", getsockname(fd, (struct sockaddr *)&own, &length));
	printf("id %x\n", ntohs(own.sin_port));
	ping(fd, 0);
	fd = socket(AF_INET6, SOCK_DGRAM, IPPROTO_ICMPV6);
	if (!tell_socket("socket of IPv6", fd)) return;
	struct icmp6_hdr request = {.icmp6_type = ICMP6_ECHO_REQUEST};
	struct address to = address_of("::1", 0);
	TELL("sendto", sendto(fd, &request, sizeof request, 0, (struct sockaddr *)&to.storage, to.length));
	tell_message(fd);
}

static void raw(void) {
	int fd = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	if (!tell_socket("socket", fd)) return;
	TELL("bind", bind_to(fd, "127.0.0.1", 0));
	tell_local(fd);
	ping(fd, sizeof(struct iphdr));
	fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
	tell_socket("raw", fd);
	TELL("bind to the pod's address", bind_to(fd, setting("POD"), 0));
	struct {
		struct iphdr ip;
		struct icmphdr icmp;
	} packet = {{.version = 4, .ihl = 5, .ttl = 9, .protocol = IPPROTO_ICMP}, echo_request()};
	struct address to = address_of("127.0.0.1", 0);
	packet.ip.daddr = ((struct sockaddr_in *)&to.storage)->sin_addr.s_addr;
	TELL("with a header", sendto(fd, &packet, sizeof packet, 0, (struct sockaddr *)&to.storage, to.length));
	TELL("connect", connect(fd, (struct sockaddr *)&to.storage, to.length));
	TELL("send", send(fd, &packet, sizeof packet, 0));
}

static void packets(void) {
	int fd = socket(AF_PACKET, SOCK_DGRAM, htons(ETH_P_IP));
	if (!tell_socket("socket", fd)) return;
	struct sockaddr_ll on = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = (int)if_nametoindex("lo")};
	TELL("bind", bind(fd, (struct sockaddr *)&on, sizeof on));
	socklen_t length = sizeof on;
	TELL("getsockname", getsockname(fd, (struct sockaddr *)&on, &length));
	printf("interface %d, hardware %d, %u bytes\n", on.sll_ifindex, on.sll_hatype, length);
	int pinging = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	struct icmphdr request = echo_request();
	struct address to = address_of("127.0.0.1", 0);
	TELL("sendto", sendto(pinging, &request, sizeof request, 0, (struct sockaddr *)&to.storage, to.length));
	for (int seen = 0; seen < 2;) {
		uint8_t bytes[2048];
		length = sizeof on;
		ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&on, &length);
		if (got < 0) {
			TELL("recvfrom", got);
			return;
		}
		if (bytes[9] != IPPROTO_ICMP) continue; /* of others on this interface */
		printf("packet: %zd bytes, ICMP type %d, of kind %d, protocol %x\n", got, bytes[20], on.sll_pkttype, ntohs(on.sll_protocol));
		seen++;
	}
}

static void dump(int fd, uint16_t type, const struct sockaddr_nl *kernel) {
	struct {
		struct nlmsghdr head;
		struct rtgenmsg body;
	} request = {{sizeof request, type, NLM_F_REQUEST | NLM_F_DUMP, 1, 0}, {AF_UNSPEC}};
	if (kernel) TELL("sendto", sendto(fd, &request, sizeof request, 0, (const struct sockaddr *)kernel, sizeof *kernel));
	else TELL("send", send(fd, &request, sizeof request, 0));
	uint8_t bytes[32768];
	for (int messages = 0;;) {
		struct sockaddr_nl from = {0};
		socklen_t length = sizeof from;
		ssize_t got = recvfrom(fd, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
		if (got < 0) {
			TELL("recvfrom", got);
			return;
		}
		const struct nlmsghdr *head = (const struct nlmsghdr *)bytes;
		for (size_t left = (size_t)got; NLMSG_OK(head, left); head = NLMSG_NEXT(head, left)) {
			if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR) {
				printf("%d of type %d, from %u, family %d\n", messages, type, from.nl_pid, from.nl_family);
				return;
			}
			messages++;
		}
	}
}

static void netlink(void) {
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	if (!tell_socket("socket", fd)) return;
	struct sockaddr_nl own = {.nl_family = AF_NETLINK}, kernel = own;
	TELL("bind", bind(fd, (struct sockaddr *)&own, sizeof own));
	socklen_t length = sizeof own;
	TELL("getsockname", getsockname(fd, (struct sockaddr *)&own, &length));
	printf("family %d, %s, %u bytes\n", own.nl_family, own.nl_pid == (uint32_t)getpid() ? "its own" : "another's", length);
	dump(fd, RTM_GETROUTE, &kernel);
	dump(fd, RTM_GETLINK, &kernel);
	TELL("connect", connect(fd, (struct sockaddr *)&kernel, sizeof kernel));
	TELL("getpeername", getpeername(fd, (struct sockaddr *)&own, &length));
	dump(fd, RTM_GETADDR, NULL);
	struct ifaddrs *all = NULL;
	TELL("getifaddrs", getifaddrs(&all));
	for (struct ifaddrs *one = all; one; one = one->ifa_next) {
		struct sockaddr_storage *address = (struct sockaddr_storage *)one->ifa_addr;
		printf("%s %s\n", one->ifa_name, address ? address_text(address) : "-");
	}
}

/* What else there is: whether this kernel has it, and that it is as it was. */
static void others(void) {
	TELL("UDP-Lite", socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE) < 0 ? -1 : 0);
	TELL("SCTP", socket(AF_INET, SOCK_STREAM, 132) < 0 ? -1 : 0);
	TELL("DCCP", socket(AF_INET, 6, 33) < 0 ? -1 : 0);
	TELL("virtual machines' sockets", socket(AF_VSOCK, SOCK_STREAM, 0) < 0 ? -1 : 0);
	TELL("no such family", socket(77, SOCK_STREAM, 0));
	TELL("no such type", socket(AF_INET, 9, 0));
	TELL("no such protocol", socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
	struct sockaddr_alg hash = {.salg_family = AF_ALG, .salg_type = "hash", .salg_name = "sha1"};
	int fd = socket(AF_ALG, SOCK_SEQPACKET, 0);
	if (fd >= 0) {
		TELL("bind", bind(fd, (struct sockaddr *)&hash, sizeof hash));
		int one = accept(fd, NULL, NULL);
		TELL("send", send(one, "abc", 3, 0));
		uint8_t digest[20] = {0};
		TELL("read", read(one, digest, sizeof digest));
		printf("digest %02x%02x\n", digest[0], digest[1]);
	}
	int ends[2];
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0alone-datagrams"};
	socklen_t length = 2 + sizeof "\0alone-datagrams" - 1;
	ends[0] = socket(AF_UNIX, SOCK_DGRAM, 0);
	ends[1] = socket(AF_UNIX, SOCK_DGRAM, 0);
	TELL("bind", bind(ends[0], (struct sockaddr *)&name, length));
	TELL("sendto", sendto(ends[1], "x", 1, 0, (struct sockaddr *)&name, length));
	TELL("recvfrom", recvfrom(ends[0], (char[4]){0}, 4, 0, (struct sockaddr *)&name, &length));
	printf("from %u bytes\n", length);
}

int main(int argc, char **argv) {
	const struct test tests[] = {{"icmp", icmp}, {"raw", raw}, {"packets", packets}, {"netlink", netlink}, {"others", others}};
	return run_cases(tests, sizeof tests / sizeof *tests, argc, argv);
}
