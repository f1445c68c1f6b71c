/** Programs that somebody else starts, with the library preloaded: they come by a socket. */
import assert from "node:assert/strict";
import { execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { hasMark, type Program, Programs, preloadLibrary } from "../src/index.ts";
import { compile, folder, script, tap } from "./support.ts";

const SOURCE = String.raw`
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#ifndef PLAIN
#include <linux/filter.h>
#include <linux/seccomp.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

static void tell(const char *who) {
  struct utsname names;
  if (uname(&names) != 0) printf("%s: %s\n", who, strerror(errno));
  else printf("%s: %s\n", who, names.nodename);
  fflush(stdout);
}
static void *thread(void *barrier) {
  pthread_barrier_wait(barrier);
  pthread_barrier_wait(barrier);
  tell("thread");
  return NULL;
}
#ifndef PLAIN
static int filter(unsigned action, unsigned nr, long flags) {
  struct sock_filter code[] = {{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                               {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr},
                               {BPF_RET | BPF_K, 0, 0, action},
                               {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
  struct sock_fprog program = {4, code};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  return (int)syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
#endif
int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  if (!strcmp(what, "clean")) {
    int fds = 0, signals = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir)) fds++;
    closedir(dir);
    FILE *status = fopen("/proc/self/status", "r");
    for (char line[256]; fgets(line, sizeof line, status);)
      if (!strncmp(line, "SigBlk:", 7)) signals = (int)strtol(line + 7, NULL, 16);
    int child = waitpid(-1, NULL, 0x40000000);
    printf("descriptors %d, blocked %d, children %d\n", fds, signals, child > 0);
  } else if (!strcmp(what, "fork")) {
    if (fork() == 0) {
      tell("child");
      return 0;
    }
    wait(NULL);
    execl(argv[0], argv[0], NULL);
  } else if (!strcmp(what, "threads")) {
    pthread_t threads[4];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, 5);
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, thread, &barrier);
    pthread_barrier_wait(&barrier);
    tell("before");
    if (!dlopen(argv[2], RTLD_NOW)) puts(dlerror());
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
#ifndef PLAIN
  } else if (!strcmp(what, "filter")) {
    if (filter(SECCOMP_RET_ERRNO | ENOTNAM, __NR_getppid, 0) != 0) perror("seccomp");
    if (syscall(__NR_getppid) < 0) puts(strerror(errno));
  } else if (!strcmp(what, "watched")) {
    fcntl(filter(SECCOMP_RET_USER_NOTIF, 9999, SECCOMP_FILTER_FLAG_NEW_LISTENER), F_SETFD, 0);
    setenv("LD_PRELOAD", argv[2], 1);
    execl(argv[0], argv[0], NULL);
#endif
  } else if (!strcmp(what, "wait")) {
    tell("waiting");
    getchar();
    for (int i = 0; i < 100; i++) {
      struct utsname names;
      if (uname(&names) != 0) puts(strerror(errno));
    }
  }
  tell("main");
}
`;
const witness = compile("preload-witness", SOURCE, "-pthread");
const still = compile("preload-static", SOURCE, "-pthread", "-static", "-w");
const hasMusl = ((): boolean => {
  try {
    execFileSync("musl-gcc", ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

tap.setHostname("pod-7d4f");
const door = mkdtempSync(join(folder, "door-"));
const path = join(door, "programs");
const mark = `INPOD_SESSION=preload-${process.pid}`;
const begun: Program[] = [];
let onRefused: (why: string) => void = () => {};
const programs = new Programs(tap, {
  ...{ path, mark, groups: ["hostname"] },
  onBegin: (program) => begun.push(program),
  onRefused: (_, why) => onRefused(why),
});
after(() => {
  programs.shut();
  tap.unref();
});

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}
const ours = (env: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
  ...{ PATH: process.env.PATH, LD_PRELOAD: preloadLibrary },
  ...{ INPOD_SESSION: mark.slice(mark.indexOf("=") + 1), INPOD_PRELOAD: `${process.pid}:${path}` },
  ...env,
});
function begin(
  command: readonly string[],
  env: NodeJS.ProcessEnv = {},
  options: SpawnOptions = {},
) {
  const [file = "", ...args] = command;
  return spawn(file, args, { ...options, stdio: "pipe", env: ours(env) });
}
async function run(...args: Parameters<typeof begin>): Promise<Ran> {
  const child = begin(...args);
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk) => {
    stdout += chunk;
  });
  child.stderr.on("data", (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(child, "close");
  return { code, stdout, stderr };
}

/** As one that is stopped: nobody comes to the door, and those who fit before it wait there already. */
const CROWDED = `
import socket, sys
door = socket.socket(socket.AF_UNIX); door.bind(sys.argv[1]); door.listen(0)
waiting = []
try:
    while True:
        waiting.append(socket.socket(socket.AF_UNIX)); waiting[-1].setblocking(False); waiting[-1].connect(sys.argv[1])
except BlockingIOError: print("full", flush=True)
sys.stdin.read()
`;
const crowd = spawn("python3", ["-c", CROWDED, `${path}-crowded`], {
  stdio: ["pipe", "pipe", "inherit"],
});
after(() => crowd.kill("SIGKILL"));
/** Takes ten seconds, beside the other tests. */
const beforeCrowd = once(crowd.stdout, "data").then(() =>
  run(
    [witness],
    { INPOD_PRELOAD: `1:${path}-crowded` },
    { timeout: 60_000, killSignal: "SIGKILL" },
  ),
);

/** What it finds without the library. */
const clean = async (program: string): Promise<string | undefined> =>
  (await run([program, "clean"], { LD_PRELOAD: "" })).stdout.split("\n")[0];

test("a program of glibc is in the session before its own code runs, and finds nothing of the library", async () => {
  const { stdout, stderr, code } = await run([witness, "clean"]);
  assert.deepEqual([stderr, code], ["", 0]);
  assert.equal(stdout, `${await clean(witness)}\nmain: pod-7d4f\n`);
});

test("so is one of musl, whose loader tells constructors nothing", {
  skip: hasMusl ? false : "musl-gcc is not there",
}, async () => {
  const musl = join(folder, "preload-musl");
  execFileSync("musl-gcc", ["-O1", "-DPLAIN", "-o", musl, join(folder, "preload-witness.c")]);
  const { stdout, stderr } = await run([musl, "clean"]);
  assert.deepEqual([stdout, stderr], [`${await clean(musl)}\nmain: pod-7d4f\n`, ""]);
});

test("variables of any length stand before the library's own", async () => {
  const env = {
    ...Object.fromEntries(
      [0, 1, 4093, 4094, 4095, 4096, 9000].map((n) => [`A${n}`, "x".repeat(n)]),
    ),
  };
  const { stdout, stderr } = await run([witness], { ...env, LD_PRELOAD: preloadLibrary });
  assert.deepEqual([stdout, stderr], ["main: pod-7d4f\n", ""]);
});

test("what clears its environment is known as the session's all the same", async () => {
  const child = begin(["env", "-i", witness, "wait"]);
  const [chunk] = await once(child.stdout, "data");
  assert.equal(String(chunk), "waiting: pod-7d4f\n");
  assert.ok(hasMark(child.pid ?? 0, mark));
  child.stdin.end("\n");
  await once(child, "close");
});

test("children and what is executed are in their parent's tree, dynamic or not", async () => {
  const before = begun.length;
  const forked = await run([witness, "fork"]);
  assert.equal(forked.stdout, "child: pod-7d4f\nmain: pod-7d4f\n");
  const wrapped = await run(["sh", "-c", `${still}; ${witness}`]);
  assert.equal(wrapped.stdout, "main: pod-7d4f\nmain: pod-7d4f\n");
  assert.equal(begun.length, before + 2);
});

test("a static program that is started directly is not in the session", async () => {
  const before = begun.length;
  const { stdout } = await run([still]);
  assert.doesNotMatch(stdout, /pod-7d4f/);
  assert.equal(begun.length, before);
});

test("all threads are in it when the library is loaded behind them", async () => {
  const { stdout } = await run([witness, "threads", preloadLibrary], { LD_PRELOAD: "" });
  const [first, ...rest] = stdout.trim().split("\n");
  assert.doesNotMatch(first ?? "", /pod-7d4f/);
  assert.deepEqual(rest.sort(), ["main: pod-7d4f", ...Array(4).fill("thread: pod-7d4f")]);
});

test("a program's own filter is beside the tap's", async () => {
  const { stdout, stderr } = await run([witness, "filter"]);
  assert.deepEqual([stdout, stderr], ["Not a XENIX named type file\nmain: pod-7d4f\n", ""]);
});

test("several programs at once have each an end of its own", async () => {
  const before = begun.length;
  const children = [0, 1, 2, 3].map(() => begin([witness, "wait"]));
  await Promise.all(children.map((child) => once(child.stdout, "data")));
  const mine = begun.slice(before);
  assert.deepEqual(mine.map(({ pid }) => pid).sort(), children.map(({ pid }) => pid).sort());
  assert.equal(programs.running.filter((program) => mine.includes(program)).length, 4);
  for (const child of children) {
    const { pid } = child;
    child.stdin.end("\n");
    const [chunk] = await once(child.stdout, "data");
    assert.equal(String(chunk), "main: pod-7d4f\n");
    await mine.find((program) => program.pid === pid)?.ended;
    assert.ok(!programs.running.some((program) => program.pid === pid));
  }
  assert.equal(programs.running.filter((program) => mine.includes(program)).length, 0);
});

test("each of many short programs has an end that is told", async () => {
  const before = begun.length;
  const all = await Promise.all(Array.from({ length: 24 }, () => run([witness])));
  assert.ok(all.every(({ stdout }) => stdout === "main: pod-7d4f\n"));
  const mine = begun.slice(before);
  assert.equal(mine.length, 24);
  await Promise.all(mine.map(({ ended }) => ended));
  assert.ok(!programs.running.some((program) => mine.includes(program)));
});

test("without the session a program ends and says what to do, or runs on its own if it is told to", async () => {
  const gone = { INPOD_PRELOAD: `${process.pid}:${path}-gone` };
  for (const variables of [
    gone,
    { INPOD_PRELOAD: "nonsense" },
    { INPOD_PRELOAD: `1:/${"x".repeat(300)}` },
  ]) {
    const ended = await run([witness], variables);
    assert.deepEqual([ended.code, ended.stdout], [125, ""]);
    assert.match(
      ended.stderr,
      /^inpod: this program is not in the place of the pod: its session is gone; so it is ended \(unset LD_PRELOAD, or INPOD_WITHOUT_SESSION=run .*\)\n$/,
    );
  }
  const alone = await run([witness], { ...gone, INPOD_WITHOUT_SESSION: "run" });
  assert.equal(alone.code, 0);
  assert.match(alone.stdout, /^main: (?!pod-7d4f)/);
  assert.match(alone.stderr, /its session is gone; it runs on this machine alone/);
});

test("a session that says nothing, or what nobody understands, is as one that is gone", async () => {
  for (const words of ["", "hello\n", "G7\n", "x".repeat(1000)]) {
    const other = `${path}-${words.length}`;
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.end(words);
    }).listen(other);
    await once(server, "listening");
    const { code, stdout, stderr } = await run([witness], { INPOD_PRELOAD: `1:${other}` });
    assert.deepEqual([code, stdout], [125, ""], words);
    assert.match(stderr, /^inpod: this program is not in the place of the pod: .* ended.*\n$/);
    server.close();
  }
});

test("where something else watches its calls it ends, and the session is told", async () => {
  const told = new Promise<string>((resolve) => {
    onRefused = resolve;
  });
  const env = { LD_PRELOAD: "" };
  const watched = await run([witness, "watched", preloadLibrary], env);
  assert.deepEqual([watched.code, watched.stdout], [125, ""]);
  assert.match(
    watched.stderr,
    /its system calls cannot be watched: something else watches them already; so it is ended/,
  );
  assert.match(await told, /EBUSY/);
  const alone = await run([witness, "watched", preloadLibrary], {
    ...env,
    INPOD_WITHOUT_SESSION: "run",
  });
  assert.match(alone.stdout, /^main: /);
});

test("another user's program is refused, and told why", {
  skip: process.getuid?.() === 0 ? false : "needs root",
}, async () => {
  chmodSync(folder, 0o755);
  chmodSync(door, 0o755);
  chmodSync(path, 0o666);
  const { code, stderr } = await run([witness], {}, { uid: 12345, gid: 12345 });
  chmodSync(path, 0o600);
  assert.equal(code, 125);
  assert.match(stderr, /the session does not take it: it is another user's; so it is ended/);
});

test("when we are killed, programs that run end or go on, each by its keeper, and no call says ENOSYS", async () => {
  const holder = script(
    "preload-holder.mts",
    `import { Programs, Tap } from ${JSON.stringify(new URL("../src/index.ts", import.meta.url).href)};
const [path, mark, onDeath] = process.argv.slice(2) as [string, string, "stop"];
const tap = new Tap(() => {});
tap.setHostname("pod-7d4f");
new Programs(tap, { path, mark, onDeath, groups: ["hostname"], onBegin: () => console.log("begun") });
console.log("ready");
`,
  );
  for (const mode of ["continue", "stop"] as const) {
    const where = join(door, mode);
    const session = `preload-${mode}-${process.pid}`;
    const us = spawn(
      process.execPath,
      ["--import", "tsx", holder, where, `INPOD_SESSION=${session}`, mode],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    await once(us.stdout, "data");
    const env = { INPOD_PRELOAD: `${us.pid}:${where}`, INPOD_SESSION: session };
    const children = [0, 1, 2].map(() => begin([witness, "wait"], env));
    const said = await Promise.all(children.map((child) => once(child.stdout, "data")));
    assert.deepEqual(said.map(String), Array(3).fill("waiting: pod-7d4f\n"));
    const ends = Promise.all(children.map((child) => once(child, "close")));
    const end = once(us, "exit");
    us.kill("SIGKILL");
    await end;
    if (mode === "stop") {
      assert.deepEqual(await ends, Array(3).fill([null, "SIGTERM"]));
      continue;
    }
    for (const child of children) {
      let text = "";
      child.stdout.on("data", (chunk) => {
        text += chunk;
      });
      child.stdin.end("\n");
      await once(child, "close");
      assert.match(text, /^main: (?!pod-7d4f).*\n$/);
    }
    assert.ok(existsSync(where)); // a socket without anybody: whoever comes now is told
    assert.match((await run([witness], env)).stderr, /its session is gone/);
  }
});

test("a session that ends takes nobody any more", async () => {
  programs.shut();
  const { code, stderr } = await run([witness]);
  assert.equal(code, 125);
  assert.match(stderr, /its session is gone|the session is ending|does not answer/);
});

test("one that comes to no door is not waited for without end", async () => {
  const { code, stdout, stderr } = await beforeCrowd;
  assert.deepEqual([code, stdout], [125, ""], stderr);
  assert.match(stderr, /: its session does not answer; so it is ended \(unset LD_PRELOAD, /);
});
