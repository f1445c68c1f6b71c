/* Calls that the tap translates of i386, with random numbers and pointers; socketcall's arguments, too. No libc. */
typedef unsigned int u32;

int call(u32 nr, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f);
__asm__(".globl call\n"
        "call:\n"
        "  pushl %ebp; pushl %ebx; pushl %esi; pushl %edi\n"
        "  movl 20(%esp),%eax; movl 24(%esp),%ebx; movl 28(%esp),%ecx; movl 32(%esp),%edx\n"
        "  movl 36(%esp),%esi; movl 40(%esp),%edi; movl 44(%esp),%ebp\n"
        "  int $0x80\n"
        "  popl %edi; popl %esi; popl %ebx; popl %ebp\n"
        "  ret\n"
        ".globl _start\n"
        "_start: call begin\n");

enum { EXIT = 1, WRITE = 4, MUNMAP = 91, SOCKETCALL = 102, MMAP2 = 192, SIGNAL = 48, SOCKET = 359, ROUNDS = 3000 };
static const u32 calls[] = {
    362, 361, 363, 364, 367, 368, 369, 371, 365,                    /* network */
    5, 33, 85, 195, 196, 229, 230, 232, 292, 295, 300, 305, 307,    /* files */
    383, 437, 439, 12, 183, 8, 10, 15, 38, 39, 40, 92, 193, 236, 297, 301, 303, 353, 412,
};
static const u32 folded[] = {2, 3, 4, 5, 6, 7, 11, 12, 15, 18, 0, 99};
static u32 seed = 7;
static u32 any(u32 below) {
  seed = seed * 1103515245 + 12345;
  return (seed >> 8) % below;
}

void begin(void) {
  /* A page, and nothing mapped behind it. */
  u32 page = (u32)call(MMAP2, 0, 8192, 3, 0x22, (u32)-1, 0);
  call(MUNMAP, page + 4096, 4096, 0, 0, 0, 0);
  call(SIGNAL, 13, 1, 0, 0, 0, 0); /* SIGPIPE is ignored: sendto of an unconnected stream raises it */
  u32 sockets[] = {
      (u32)call(SOCKET, 2, 1 | 04000, 0, 0, 0, 0), (u32)call(SOCKET, 2, 2 | 04000, 0, 0, 0, 0),
      (u32)call(SOCKET, 10, 1 | 04000, 0, 0, 0, 0), 99, (u32)-1, (u32)-100,
  };
  for (u32 i = 0; i < ROUNDS; i++) {
    for (int j = 0; j < 32; j++) *(unsigned char *)(page + any(4096)) = (unsigned char)any(256);
    u32 at = page + (any(3) ? 4096 - any(130) : any(4200));
    if (at + 4 <= page + 4096) {
      *(unsigned char *)at = any(2) ? '/' : 2; /* a path, or AF_INET */
      *(unsigned char *)(at + 1) = 0;
    }
    u32 pointer = any(9) ? at : any(0xffff) << 16, fd = sockets[any(6)];
    u32 length = any(5) ? any(140) : any(0xffff) << 15;
    if (any(3)) {
      call(calls[any(sizeof calls / sizeof *calls)], fd, pointer, length, any(2) ? 0 : at, any(2) ? at : 0, any(140));
      continue;
    }
    u32 *args = (u32 *)(page + 4096 - 24 + (any(4) ? 0 : 8)); /* partly where nothing is */
    if ((u32)args + 24 <= page + 4096) {
      args[0] = fd;
      args[1] = any(4) ? page + any(4000) : pointer;
      args[2] = any(2) ? 16 : length;
      args[3] = 0;
      args[4] = any(2) ? page : 0;
      args[5] = 16;
    }
    call(SOCKETCALL, folded[any(sizeof folded / sizeof *folded)], any(9) ? (u32)args : pointer, 0, 0, 0, 0);
  }
  call(WRITE, 1, (u32) "alive\n", 6, 0, 0, 0);
  call(EXIT, 0, 0, 0, 0, 0, 0);
}
