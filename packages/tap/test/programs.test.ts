import assert from "node:assert/strict";
import { once } from "node:events";
import { after, test } from "node:test";
import { compile, letGo, ruleFor, run, script, start, tap } from "./support.ts";

after(() => tap.unref()); // its threads would keep this process alive

test("a command under the tap keeps its output and its exit code", async () => {
  const ran = await run(["sh", "-c", "echo out; echo err >&2; exit 7"]);
  assert.deepEqual([ran.stdout, ran.stderr, ran.code], ["out\n", "err\n", 7]);
});

test("a command that ends by a signal is seen to end by it", async () => {
  const ran = await run(["sh", "-c", "kill -TERM $$"]);
  assert.equal(ran.signal, "SIGTERM");
});

test("a command that does not exist ends with 127, and nothing hangs", async () => {
  const ran = await run(["/nonexistent/program"]);
  assert.equal(ran.code, 127);
  assert.match(ran.stderr, /No such file/);
});

test("a skipped program is left alone, and its children are judged anew", async () => {
  tap.setPathRules([ruleFor("/etc/inpod-pod")]);
  tap.setSkips(["python3", "python3.11", "inpod-skipped"]);
  const outer = script(
    "skipped.py",
    "import subprocess\ntry: open('/etc/inpod-pod')\nexcept OSError as e: print(e.errno, flush=True)\nsubprocess.run(['cat', '/etc/inpod-pod'])\n",
  );
  // exec -a sets argv[0], by which a program can be skipped too.
  const ran = await run(["bash", "-c", `exec -a inpod-skipped python3 ${outer}`], (event) => {
    if (event.kind !== "path") return letGo(event);
    tap.replyFile(event.token, {
      name: "x",
      content: Buffer.from("tapped\n"),
      mode: 0o644,
      mtimeNs: 0n,
    });
  });
  tap.setSkips([]);
  assert.equal(ran.stdout, "2\ntapped\n");
});

test("the host name is the one we set, the rest of uname is the machine's", async () => {
  tap.setHostname("orders-7d4f");
  const ran = await run(["sh", "-c", "uname -n; uname -s"]);
  assert.equal(ran.stdout, "orders-7d4f\nLinux\n");
});

test("io_uring cannot go past the tap", async () => {
  const source = `#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) { long r = syscall(SYS_io_uring_setup, 1, 0); printf("%ld %d\\n", r, errno); }`;
  const ran = await run([compile("ring", source)]);
  assert.equal(ran.stdout, "-1 38\n");
});

test("a program started inside the tap may use a plain seccomp filter of its own", async () => {
  const ran = await run([
    "setpriv",
    "--no-new-privs",
    "sh",
    "-c",
    "cat /proc/self/status | grep -c ^Seccomp",
  ]);
  assert.equal(ran.stdout, "2\n");
});

test("children of the tree are seen to the last: the end comes after the first command's", async () => {
  const running = await start(["sh", "-c", "sleep 0.3 & exit 3"], letGo);
  let isOver = false;
  void running.done.then(() => {
    isOver = true;
  });
  const [code] = await once(running.tree.child, "exit");
  assert.equal(code, 3);
  assert.equal(isOver, false);
  await running.done;
});
