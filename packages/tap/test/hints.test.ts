/** The file server is told a whole path before the kernel looks it up component by component. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { makeRemoteRoot } from "./remote-root.ts";
import { compile, run, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

/** Makes the file of each hint before it answers; a path with "silent" gets none. */
const SERVER = `import os, socket, sys
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
socket.send_fds(socket.socket(fileno=3), [b"H"], [theirs.fileno()])
theirs.close()
while message := ours.recv(5000):
  path = message[4:].decode()
  print(path, flush=True)
  if "silent" in path: continue
  if "made" in path: open(sys.argv[1] + path, "w").write("made\\n")
  ours.send(message[:4])
`;

const TIMER = `#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>
static void nothing(int s) { (void)s; }
int main(int argc, char **argv) {
  struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  sigaction(SIGALRM, &action, 0);
  struct itimerval often = {{0, 5000}, {0, 5000}};
  setitimer(ITIMER_REAL, &often, 0);
  if (open(argv[argc - 1], O_CREAT | O_EXCL | O_WRONLY, 0600) < 0) perror("open");
  else puts("created, and only once");
}`;

test("a cold path is hinted once and then looked up; without an answer it is looked up, too", async () => {
  const root = await makeRemoteRoot();
  mkdirSync(root.at("/app"));
  writeFileSync(root.at("/app/silent"), "silent\n");
  const pair = tap.native.socketPair();
  if (typeof pair === "number") throw new Error(`socketpair: ${pair}`);
  const [ours, theirs] = pair;
  const server = spawn(
    "python3",
    [script("hints.py", SERVER), `/proc/${process.pid}/fd/${root.rootFd}`],
    {
      stdio: ["ignore", "pipe", "inherit", theirs],
    },
  );
  tap.native.close(theirs);
  const hinted: string[] = [];
  assert.ok(server.stdout);
  const lines = createInterface(server.stdout);
  lines.on("line", (line) => hinted.push(line));
  let hintFd = -1;
  while (hintFd < 0) {
    await new Promise((resolve) => setImmediate(resolve));
    hintFd = tap.native.receiveListener(ours);
    if (hintFd < 0) assert.equal(hintFd, -11);
  }
  tap.setRemote({ ...root, hintFd });
  tap.setPathRules([{ match: "tree", text: "/app", operations: 7, verdict: "remote" }]);
  const cat = (path: string) =>
    run(["cat", path], (event) => {
      if (event.kind === "path") assert.fail(`asked: ${event.path}`);
    });
  assert.equal((await cat("/app//made")).stdout, "made\n");
  assert.equal((await cat("/app/made")).stdout, "made\n");
  assert.deepEqual(hinted, ["/app/made"], "in the cache, so no second hint");
  assert.match((await cat("/app/silent2")).stderr, /No such file/);
  // While the hint is waited for a timer interrupts the call some hundred times, and each restart is the same call.
  const joined = tap.statistics().joined;
  const created = await run(
    [compile("timer", TIMER), "/app/silent3"],
    (event) => {
      if (event.kind === "path") assert.fail(`asked: ${event.path}`);
    },
    { groups: ["files", "interruptible"] },
  );
  assert.equal(created.stdout, "created, and only once\n", created.stderr);
  assert.ok(tap.statistics().joined > joined + 20, "it was not interrupted");
  server.kill("SIGKILL");
  await Promise.all([once(server, "exit"), once(lines, "close")]);
  assert.match((await cat("/app/made3")).stderr, /No such file/);
  assert.ok(!hinted.includes("/app/made3"));
  tap.setRemote(undefined);
  for (const fd of [ours, hintFd, root.rootFd]) tap.native.close(fd);
});
