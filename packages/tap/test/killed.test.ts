/** What becomes of calls that we have received and not answered when we are killed, in mode "continue". */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, writeFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { compile, folder, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

/**
 * A process of its own that launches the program and can be killed. It lets binds and listens be, does with the other
 * calls what its first word says ("half": binds and connects are held in the middle), and tells how many it has.
 */
const HOLDER = script(
  "holder.mts",
  `import { launch, Tap } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
const [how, path, ...command] = process.argv.slice(2) as [string, string, string, ...string[]];
let held = 0;
const tap = new Tap((event) => {
  if (event.kind === "bind") {
    console.log("bound to", tap.bindSocket(event.token, 0));
    if (how !== "half") tap.replyBound(event.token, event.address);
  } else if (event.kind === "listen") {
    tap.listenSocket(event.token);
    tap.reply(event.token, 0);
  } else if ("token" in event && event.kind !== "relayed") {
    if (how === "hold") console.log("held", ++held);
    else if (how === "half" && event.kind === "connect") console.log("pending at", tap.startPending(event.token));
    else setImmediate(() => tap.continue(event.token));
  }
});
tap.setPathRules([{ match: "exact", text: path.toLowerCase(), operations: 7, verdict: "ask" }]);
const mark = "INPOD_SESSION=" + process.pid;
await launch(tap, { command, environment: { PATH: process.env.PATH!, INPOD_SESSION: String(process.pid) }, groups: ["network", "files", "hostname"], mark, onDeath: "continue" });
`,
);

/** Reads lines of what the holder and the program say: they share one output. */
class Output {
  #text = "";
  #over = false;
  #wake = (): void => {};

  constructor(child: ChildProcess) {
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#text += chunk;
      this.#wake();
    });
    child.stdout?.on("end", () => {
      this.#over = true;
      this.#wake();
    });
  }

  get text(): string {
    return this.#text;
  }

  /** Waits for the match. */
  async has(what: RegExp): Promise<RegExpExecArray> {
    await this.says(1, new RegExp(what, "gm"));
    const found = what.exec(this.#text);
    assert.ok(found);
    return found;
  }

  /** Waits for so many matches. @param what with flag "g" */
  async says(times: number, what: RegExp): Promise<void> {
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, 60_000);
    while ((this.#text.match(what) ?? []).length < times) {
      assert.ok(!this.#over && !isLate, `not ${times} times ${what} in:\n${this.#text}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    clearTimeout(deadline);
  }
}

/** The program outlives its holder; its own alarm() ends it if nothing else does. */
function hold(how: "hold" | "continue" | "half", path: string, ...command: string[]) {
  const holder = spawn(process.execPath, ["--import", "tsx", HOLDER, how, path, ...command], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  return { holder, output: new Output(holder) };
}

async function killed(holder: ChildProcess): Promise<void> {
  const exit = once(holder, "exit");
  holder.kill("SIGKILL");
  await exit;
}

const EACH = 8;
const BLOCKED = `#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
static const char *path;
static int port, listener;
static struct sockaddr_in loopback(int at) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(at), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}
static void *opens(void *x) {
  int fd = open(path, O_RDONLY), error = errno;
  printf("open %s\\n", fd < 0 ? strerror(error) : "ok");
  return x;
}
static void *stats(void *x) {
  struct stat s;
  printf("stat %ld\\n", stat(path, &s) ? -(long)errno : s.st_size);
  return x;
}
static void *connects(void *x) {
  int s = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in to = loopback(port);
  printf("connect %s\\n", connect(s, (void *)&to, sizeof to) ? strerror(errno) : "ok");
  return x;
}
static void *accepts(void *x) {
  struct sockaddr_in from;
  socklen_t length = sizeof from;
  int s = accept(listener, (void *)&from, &length);
  printf("accept %s\\n", s < 0 ? strerror(errno) : "ok");
  return x;
}
int main(int argc, char **argv) {
  (void)argc;
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(60);
  path = argv[1];
  port = atoi(argv[2]);
  listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(8080)};
  if (bind(listener, (void *)&any, sizeof any) || listen(listener, 64)) return 1;
  void *(*works[])(void *) = {accepts, opens, stats, connects};
  pthread_t threads[4][${EACH}];
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < ${EACH}; j++) pthread_create(&threads[i][j], NULL, works[i], NULL);
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < ${EACH}; j++) pthread_join(threads[i][j], NULL);
  puts("all have gone on");
}`;

test("calls that were held when we are killed go on: opens, stats, connects and accepts of many threads", async () => {
  const file = join(folder, "local-file");
  writeFileSync(file, "local");
  chmodSync(file, 0o644);
  const server = createServer((socket) => socket.on("error", () => {}).end());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { holder, output } = hold(
    "hold",
    file,
    compile("blocked", BLOCKED, "-pthread"),
    file,
    String(port),
  );
  await output.says(3 * EACH, /^held \d+$/gm);
  const [, listener] = await output.has(/^bound to (\d+)$/m);
  await killed(holder);
  await output.says(EACH, /^open ok$/gm);
  await output.says(EACH, /^stat 5$/gm);
  await output.says(EACH, /^connect ok$/gm);
  assert.doesNotMatch(output.text, /^accept/m);
  for (let i = 0; i < EACH; i++) connect(Number(listener), "127.0.0.1").on("error", () => {});
  await output.says(EACH, /^accept ok$/gm);
  await output.has(/^all have gone on$/m);
  server.close();
});

test("a call that was done and not answered yet is not done twice: it gets a result", async () => {
  const bind = `import signal, socket, threading
signal.alarm(60)
def connect():
    print('connect', socket.socket().connect_ex(('127.0.0.1', 9)), flush=True)
t = threading.Thread(target=connect)
t.start()
s = socket.socket()
s.bind(('0.0.0.0', 8080))
s.listen(5)
print('bound once', s.getsockname(), flush=True)
t.join()
`;
  const { holder, output } = hold("half", "/none", "python3", script("half.py", bind));
  const [, port] = await output.has(/^bound to (\d+)$/m);
  await output.has(/^pending at \d+$/m);
  await killed(holder);
  await output.has(new RegExp(`^bound once \\('127.0.0.1', ${port}\\)$`, "m"));
  await output.has(/^connect 104$/m); // ECONNRESET
});

const BUSY = `#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static pid_t holder;
static const char *path;
static int calls;
static void *work(void *x) {
  struct stat s;
  for (int i = 0, left = 100; left > 0; i++) {
    if (stat(i % 4 ? "/etc/hosts" : path, &s) != 0) return x; /* ENOSYS, for one */
    if (__atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST) == 2000) puts("busy");
    if (getppid() != holder) left--;
  }
  puts("thread has gone on");
  return x;
}
int main(int argc, char **argv) {
  (void)argc;
  setvbuf(stdout, NULL, _IOLBF, 0);
  alarm(60);
  holder = getppid();
  path = argv[1];
  pthread_t threads[${2 * EACH}];
  for (int i = 0; i < ${2 * EACH}; i++) pthread_create(&threads[i], NULL, work, NULL);
  for (int i = 0; i < ${2 * EACH}; i++) pthread_join(threads[i], NULL);
  puts("all have gone on");
}`;

test("no call is lost at whatever moment we are killed, though threads make them all the time", async () => {
  const file = join(folder, "local-file");
  writeFileSync(file, "local");
  chmodSync(file, 0o644);
  const program = compile("busy", BUSY, "-pthread");
  for (let round = 0; round < 8; round++) {
    const { holder, output } = hold("continue", file, program, file);
    await output.has(/^busy$/m);
    await killed(holder);
    await output.says(2 * EACH, /^thread has gone on$/gm);
    await output.has(/^all have gone on$/m);
  }
});
