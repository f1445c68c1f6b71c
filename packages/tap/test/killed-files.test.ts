/** What becomes of calls that C is serving below the remote root when we are killed, in mode "continue". */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { compile, script, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

const here = (name: string) => JSON.stringify(new URL(name, import.meta.url).href);

/** Its file server never answers a hint, and it tells how many calls wait for one. */
const HOLDER = script(
  "files-holder.mts",
  `import { mkdirSync } from "node:fs";
import { Socket } from "node:net";
import { launch } from ${here("../src/index.ts")};
import { makeRemoteRoot } from ${here("./remote-root.ts")};
import { tap } from ${here("./support.ts")};
const root = await makeRemoteRoot();
mkdirSync(root.at("/inpod-app"));
const [ours, theirs] = tap.native.socketPair() as [number, number];
let length = 0;
new Socket({ fd: ours }).on("data", (bytes) => { length += bytes.length; if (length === 2 * (4 + "/inpod-app/new".length)) console.log("both wait"); });
tap.setRemote({ ...root, hintFd: theirs });
tap.setPathRules([{ match: "tree", text: "/inpod-app", operations: 7, verdict: "remote" }]);
const mark = "INPOD_SESSION=" + process.pid;
await launch(tap, { command: process.argv.slice(2) as [string], environment: { INPOD_SESSION: String(process.pid) }, groups: ["files"], mark, onDeath: "continue" });
`,
);

const PROGRAM = `#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
static void *make(void *x) {
  printf("make: %d\\n", open("/inpod-app/new", O_CREAT | O_EXCL | O_WRONLY, 0600) < 0 ? errno : 0);
  return x;
}
int main(void) {
  struct stat s;
  pthread_t thread;
  alarm(60);
  pthread_create(&thread, 0, make, 0);
  printf("look: %d\\n", stat("/inpod-app/old", &s) ? errno : 0);
  pthread_join(thread, 0);
  printf("then: %d\\n", stat("/etc/passwd", &s));
}`;

test("a look-up goes on natively, and what may have been done in the pod is an error", async () => {
  const program = compile("served", PROGRAM, "-pthread");
  const holder = spawn(process.execPath, ["--import", "tsx", HOLDER, program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  const ended = once(holder.stdout, "end");
  holder.stdout.on("data", (chunk: Buffer) => {
    text += chunk;
    if (text.includes("both wait")) holder.kill("SIGKILL");
  });
  await ended; // the program has it, too
  // ENOENT: this machine has no such file. EIO: nobody can tell.
  assert.deepEqual(text.trim().split("\n").sort(), ["both wait", "look: 2", "make: 5", "then: 0"]);
});
