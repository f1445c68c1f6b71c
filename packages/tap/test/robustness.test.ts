import assert from "node:assert/strict";
import { copyFileSync, mkdirSync } from "node:fs";
import { after, test } from "node:test";
import { makeRemoteRoot } from "./remote-root.ts";
import { assertNothingHeld, compile, folder, letGo, ruleFor, run, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

test("an unanswered call is answered by its deadline, and a thousand threads lose none", async () => {
  tap.setPathRules([ruleFor("/etc/inpod-pod")]);
  const source = `#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static int opened;
static void *work(void *x) {
  for (int i = 0; i < 5; i++) {
    int fd = open("/etc/inpod-pod", O_RDONLY);
    if (fd >= 0) { __atomic_add_fetch(&opened, 1, __ATOMIC_SEQ_CST); close(fd); }
  }
  return x;
}
int main(void) {
  static pthread_t t[1000];
  pthread_attr_t a; pthread_attr_init(&a); pthread_attr_setstacksize(&a, 65536);
  for (int i = 0; i < 1000; i++) pthread_create(&t[i], &a, work, 0);
  for (int i = 0; i < 1000; i++) pthread_join(t[i], 0);
  printf("%d\\n", opened);
}`;
  const ran = await run([compile("threads", source, "-pthread")], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, { name: "x", content: Buffer.from("x"), mode: 0o644, mtimeNs: 0n });
  });
  assert.equal(ran.stdout, "5000\n");
  await assertNothingHeld();
});

test("random bytes for addresses and paths give an errno, never a crash of ours", async () => {
  tap.setPathRules([{ ...ruleFor("/"), match: "prefix" }]);
  const source = `#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
  signal(SIGPIPE, SIG_IGN); /* sendto of an unconnected stream raises it */
  fcntl(0, F_SETFL, O_NONBLOCK); /* it is a socket: recvfrom would wait for ever */
  if (chdir(getenv("TMPDIR"))) return 1; /* sockets of random names come into being */
  srand(7);
  /* a page, and nothing mapped behind it */
  char *page = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  munmap(page + 4096, 4096);
  long calls[] = {SYS_connect, SYS_bind, SYS_openat, SYS_statx, SYS_newfstatat, SYS_readlinkat, SYS_sendto, SYS_recvfrom, SYS_getsockname, SYS_getpeername, SYS_accept4, SYS_faccessat, SYS_openat2, SYS_getsockopt,
    SYS_mkdirat, SYS_unlinkat, SYS_renameat2, SYS_linkat, SYS_symlinkat, SYS_mknodat, SYS_fchmodat, SYS_fchownat, SYS_utimensat, SYS_truncate, SYS_getxattr, SYS_listxattr, SYS_setxattr, SYS_removexattr, SYS_statfs, SYS_chdir, SYS_getcwd, SYS_execve, SYS_execveat, SYS_inotify_add_watch, SYS_name_to_handle_at};
  int sockets[] = {socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0), socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), 98, 99, -1, AT_FDCWD};
  for (int i = 0; i < 3000; i++) {
    for (int j = 0; j < 64; j++) page[rand() % 4096] = (char)rand();
    uintptr_t at = (uintptr_t)page + (rand() % 3 ? 4096 - rand() % 130 : rand() % 4200);
    if (at + 2 <= (uintptr_t)page + 4096) *(uint16_t *)at = rand() % 2 ? 1 : rand() % 2 ? 0xffff : 12345;
    long length = rand() % 5 ? rand() % 140 : (long)rand() * rand();
    long nr = calls[rand() % (sizeof calls / sizeof *calls)];
    syscall(nr, sockets[rand() % 8], rand() % 9 ? at : (uintptr_t)rand(), length, rand() % 2 ? 0 : at, rand() % 2 ? at : 0, rand() % 140);
  }
  puts("alive");
}`;
  const program = compile("fuzz", source, "-static");
  const fuzz = () =>
    run(
      [program],
      (event) => {
        // Its first call, which must succeed.
        if (event.kind === "path" && event.path === folder) tap.continue(event.token);
        else if (event.kind === "path") tap.reply(event.token, 0, 2);
        else if ("token" in event && event.kind !== "relayed") tap.reply(event.token, 0, 111);
      },
      { env: { TMPDIR: folder } },
    );
  const asked = await fuzz();
  assert.equal(asked.stdout, "alive\n", `${asked.code} ${asked.signal} ${asked.stderr}`);
  const root = await makeRemoteRoot();
  mkdirSync(root.at(folder), { recursive: true });
  copyFileSync(program, root.at(program));
  tap.setRemote(root);
  tap.setPathRules([{ ...ruleFor("/"), match: "prefix", verdict: "remote" }]);
  const { served } = tap.statistics();
  const ran = await fuzz();
  assert.ok(tap.statistics().served > served + 100);
  tap.setRemote(undefined);
  tap.setPathRules([]);
  assert.equal(ran.stdout, "alive\n", `${ran.code} ${ran.signal} ${ran.stderr}`);
  await assertNothingHeld();
});
