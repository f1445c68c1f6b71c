/*
 * i386 ADDRESS PORT REFUSED-PORT FILE SERVER-PORT, twice as a 32-bit program would: by the calls of their own that i386
 * has since Linux 4.3, and by socketcall(2). Without a libc, so that it is compiled where there is no 32-bit one.
 */
typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

long call(u32 nr, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f);
__asm__(".globl call\n"
        "call:\n"
        "  pushl %ebp; pushl %ebx; pushl %esi; pushl %edi\n"
        "  movl 20(%esp),%eax; movl 24(%esp),%ebx; movl 28(%esp),%ecx; movl 32(%esp),%edx\n"
        "  movl 36(%esp),%esi; movl 40(%esp),%edi; movl 44(%esp),%ebp\n"
        "  int $0x80\n"
        "  popl %edi; popl %esi; popl %ebx; popl %ebp\n"
        "  ret\n"
        ".globl _start\n"
        "_start: movl %esp,%eax; pushl %eax; call begin\n");

enum { EXIT = 1, READ = 3, WRITE = 4, CLOSE = 6, CHDIR = 12, ACCESS = 33, SOCKETCALL = 102, UNAME = 122, GETCWD = 183, STAT64 = 195, OPENAT = 295 };
enum { SOCKET = 359, BIND = 361, CONNECT = 362, LISTEN = 363, ACCEPT4 = 364, SETSOCKOPT = 366, GETSOCKNAME = 367, GETPEERNAME = 368 };
static int is_folded;

/* The numbers of socketcall(2), by those of the calls. */
static u32 folded(u32 nr) {
  switch (nr) {
    case SOCKET: return 1;
    case BIND: return 2;
    case CONNECT: return 3;
    case LISTEN: return 4;
    case ACCEPT4: return 18;
    case SETSOCKOPT: return 14;
    case GETSOCKNAME: return 6;
    default: return 7;
  }
}
static long net(u32 nr, u32 a, u32 b, u32 c, u32 d) {
  volatile u32 args[6] = {a, b, c, d, 4, 0}; /* the fifth is setsockopt's length */
  if (!is_folded) return call(nr, a, b, c, d, 4, 0);
  return call(SOCKETCALL, folded(nr), (u32)args, 0, 0, 0, 0);
}

static u32 length_of(const char *text) { u32 n = 0; while (text[n]) n++; return n; }
static void say(const char *text) { call(WRITE, 1, (u32)text, length_of(text), 0, 0, 0); }
static void say_number(long value) {
  char text[16]; int at = 15; text[15] = 0;
  u32 rest = value < 0 ? -value : value;
  do text[--at] = '0' + rest % 10; while (rest /= 10);
  if (value < 0) text[--at] = '-';
  say(text + at);
}
static u32 number_of(const char *text) { u32 n = 0; while (*text >= '0' && *text <= '9') n = n * 10 + *text++ - '0'; return n; }
static u32 address_of(const char *text) {
  u32 address = 0;
  for (int i = 0; i < 4; i++) { address |= number_of(text) << 8 * i; while (*text && *text++ != '.'); }
  return address;
}

struct address { u16 family, port; u32 host; char rest[8]; };
static void fill(struct address *to, u32 host, u32 port) {
  to->family = 2; to->port = port >> 8 | (port & 255) << 8; to->host = host;
}
static void say_address(const char *what, const struct address *of, int with_port) {
  say(what); say(" ");
  for (int i = 0; i < 4; i++) { if (i) say("."); say_number(of->host >> 8 * i & 255); }
  if (with_port) { say(":"); say_number(of->port >> 8 | (of->port & 255) << 8); }
  say("\n");
}
static void say_name(const char *what, u32 nr, u32 fd, int with_port) {
  struct address name; volatile u32 length = sizeof name;
  long result = net(nr, fd, (u32)&name, (u32)&length, 0);
  if (result) { say(what); say(" failed\n"); } else say_address(what, &name, with_port);
}

/* The last line of what comes. */
static void say_body(u32 fd) {
  static char text[4096]; u32 length = 0; long got;
  while (length < sizeof text - 1 && (got = call(READ, fd, (u32)text + length, sizeof text - 1 - length, 0, 0, 0)) > 0) length += got;
  text[length] = 0;
  u32 at = length;
  while (at > 0 && !(text[at - 1] == '\n' && at < length)) at--;
  say(text + at);
  if (length && text[length - 1] != '\n') say("\n");
}

static void client(u32 host, u32 port, u32 refused) {
  struct address to;
  u32 fd = net(SOCKET, 2, 1, 0, 0);
  fill(&to, host, port);
  say("connect "); say_number(net(CONNECT, fd, (u32)&to, sizeof to, 0)); say("\n");
  say_name("peer", GETPEERNAME, fd, 1);
  say_name("local", GETSOCKNAME, fd, 0);
  static const char request[] = "GET / HTTP/1.0\r\nHost: greetings\r\n\r\n";
  call(WRITE, fd, (u32)request, sizeof request - 1, 0, 0, 0);
  say_body(fd);
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  fd = net(SOCKET, 2, 1, 0, 0);
  fill(&to, host, refused);
  say("refused "); say_number(net(CONNECT, fd, (u32)&to, sizeof to, 0)); say("\n");
  call(CLOSE, fd, 0, 0, 0, 0, 0);
}

static void file(const char *path) {
  static u32 stat[24];
  long fd = call(OPENAT, -100, (u32)path, 0, 0, 0, 0);
  if (fd < 0) say("cannot open\n"); else say_body(fd);
  call(CLOSE, fd, 0, 0, 0, 0, 0);
  say("stat "); say_number(call(STAT64, (u32)path, (u32)stat, 0, 0, 0, 0));
  say(" size "); say_number(stat[11]); say(" type "); say_number(stat[4] >> 12);
  say(" access "); say_number(call(ACCESS, (u32)path, 4, 0, 0, 0, 0)); say("\n");
}

static void directory(const char *file) {
  static char name[4096];
  u32 end = length_of(file);
  while (end > 1 && file[end - 1] != '/') end--;
  for (u32 i = 0; i + 1 < end; i++) name[i] = file[i];
  say("chdir "); say_number(call(CHDIR, (u32)name, 0, 0, 0, 0, 0));
  say(" "); say_number(call(CHDIR, (u32) "/usr", 0, 0, 0, 0, 0));
  call(GETCWD, (u32)name, sizeof name, 0, 0, 0, 0);
  say(" "); say(name); say("\n");
}

static void hostname(void) {
  static char name[6][65];
  call(UNAME, (u32)name, 0, 0, 0, 0, 0);
  say("host "); say(name[1]); say("\n");
}

static void server(u32 port) {
  struct address on, peer; volatile u32 length = sizeof peer;
  u32 fd = net(SOCKET, 2, 1, 0, 0);
  fill(&on, 0, port);
  u32 yes = 1; /* the port is bound twice */
  net(SETSOCKOPT, fd, 1, 2, (u32)&yes);
  say("bind "); say_number(net(BIND, fd, (u32)&on, sizeof on, 0));
  say(" listen "); say_number(net(LISTEN, fd, 5, 0, 0)); say("\n");
  say_name("bound", GETSOCKNAME, fd, 1);
  static char request[2048];
  long accepted = net(ACCEPT4, fd, (u32)&peer, (u32)&length, 0);
  say_address("client", &peer, 0);
  call(READ, accepted, (u32)request, sizeof request, 0, 0, 0);
  static const char answer[] = "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n32 bits";
  call(WRITE, accepted, (u32)answer, sizeof answer - 1, 0, 0, 0);
  call(CLOSE, accepted, 0, 0, 0, 0, 0);
  call(CLOSE, fd, 0, 0, 0, 0, 0);
}

void begin(u32 *stack) {
  char **argv = (char **)(stack + 1);
  for (is_folded = 0; is_folded < 2; is_folded++) {
    client(address_of(argv[1]), number_of(argv[2]), number_of(argv[3]));
    file(argv[4]);
    directory(argv[4]);
    hostname();
    server(number_of(argv[5]));
  }
  call(EXIT, 0, 0, 0, 0, 0, 0);
}
