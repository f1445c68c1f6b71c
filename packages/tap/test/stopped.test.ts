/** Who stops inpod itself in the middle of an answer: Ctrl-Z does, and a debugger; a machine that goes to sleep, in effect. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { compile, tap } from "./support.ts";

const DEADLINE_MS = 60_000;
const GOES_ON_MS = 1;
const COUNT = "10";

after(() => tap.unref()); // its threads would keep this process alive

const source = readFileSync(new URL("slow-to-take.c", import.meta.url), "latin1");
const program = compile("slow-to-take", source, "-pthread");

/** slow-to-take.c under a tap of a process of its own. */
function startTap(t: { after(run: () => void): void }, group: string, before: string[] = []) {
  const script = fileURLToPath(new URL("slow-to-take.ts", import.meta.url));
  const node = [process.execPath, "--import", "tsx", script, program, COUNT, group];
  const [file = "", ...argv] = [...before, ...node];
  // In a group of its own: its tree ends with it.
  const child = spawn(file, argv, { stdio: ["ignore", "pipe", "inherit"], detached: true });
  t.after(() => {
    if (!isOver(child)) process.kill(-(child.pid ?? 0), "SIGKILL");
  });
  let said = "";
  child.stdout.on("data", (bytes: Buffer) => {
    said += bytes.toString();
  });
  const closed = once(child, "close");
  return {
    child,
    async end() {
      const late = delay(DEADLINE_MS, "late", { ref: false });
      const end = await Promise.race([closed, late]);
      assert.notEqual(end, "late", `it is not over after ${DEADLINE_MS} ms, and said ${said}`);
      return said;
    },
  };
}

const isOver = ({ exitCode, signalCode }: ChildProcess): boolean =>
  exitCode !== null || signalCode !== null;

for (const [how, group] of [
  ["where no signal interrupts a call", "network"],
  ["where any signal does", "interruptible"],
] as const) {
  test(`who opens a file or makes a socket while inpod is stopped gets that, and not descriptor 0, ${how}`, async (t) => {
    const { child, end } = startTap(t, group);
    const isStopped = (): boolean =>
      /^State:\tT/m.test(readFileSync(`/proc/${child.pid}/status`, "latin1"));
    const until = performance.now() + DEADLINE_MS;
    let stops = 0;
    while (!isOver(child) && performance.now() < until) {
      child.kill("SIGSTOP");
      for (let looks = 0; looks < 1000 && !isStopped(); looks++);
      child.kill("SIGCONT");
      stops += 1;
      await delay(GOES_ON_MS);
    }
    t.diagnostic(`${stops} stops`);
    assert.equal(await end(), `of ${COUNT}: 0 other files, 0 other sockets\n`);
  });
}

/*
 * The kernel says EINTR to whoever has a stop coming and waits for the listener's lock, which is short and rare on a machine
 * that has time. strace says it to each first one of two.
 */
test("a call is answered, and all of it, when inpod is stopped as it waits for the kernel", async (t) => {
  if (spawnSync("strace", ["--version"]).status !== 0) return t.skip("no strace");
  const inject = ["-e", "trace=ioctl", "-e", "inject=ioctl:error=EINTR:when=1+2"];
  const { end } = startTap(t, "network", ["strace", "-f", "-qq", "-o", "/dev/null", ...inject]);
  assert.equal(await end(), `of ${COUNT}: 0 other files, 0 other sockets\n`);
});
