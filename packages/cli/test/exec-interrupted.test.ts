/** A blocking connect that ends before its verdict: connect(2), EINTR. The witness sees the same as in the pod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Run, startInpod, useSandbox, whenRefused, witness } from "./exec-support.ts";

const { sandbox } = await useSandbox();

const FIRST_PORT = 7700;
const CASES = [
  ["poll", "accept", "poll and SO_ERROR tell that the connect has succeeded behind its back"],
  ["poll", "close", "poll and SO_ERROR tell the errno with which it failed behind its back"],
  ["again", "accept", "a second connect waits for the success of the first"],
  ["again", "close", "a second connect waits for the errno of the first"],
  ["verdict", "close", "a second connect tells the errno that poll announced"],
  ["sndtimeo", "accept", "SO_SNDTIMEO ends the call, and the connect succeeds behind its back"],
] as const;

for (const [index, [how, end, what]] of CASES.entries()) {
  test(`interrupted, ${what}`, async (t) => {
    const [program] = (await witness("c-interrupted", t)) ?? [];
    if (program === undefined) return;
    const inPod = await sandbox.copyIntoPod(program);
    const port = String(FIRST_PORT + index);
    const seen: string[] = [];
    for (const where of ["in the pod", "through inpod"]) {
      const listener = new Run(
        sandbox.inPod([inPod, "listen", port], { stdio: ["pipe", "pipe", "pipe"] }),
      );
      await listener.said("full");
      const argv = ["connect", sandbox.podAddress, port, how];
      const run: Run =
        where === "in the pod"
          ? new Run(sandbox.inPod([inPod, ...argv]))
          : await startInpod(sandbox, [program, ...argv]);
      await run.said("interrupted");
      listener.child.stdin?.write(`${end}\n`);
      const { stdout, stderr, code } = await run.ended;
      assert.equal(code, 0, `${where}: ${stdout}${stderr}`);
      seen.push(stdout);
      listener.signalGroup("SIGKILL");
      listener.child.kill("SIGKILL");
      await listener.ended;
    }
    assert.equal(whenRefused(seen[1] ?? ""), seen[0]);
    t.diagnostic(seen[0]?.trim().replaceAll("\n", "; ") ?? "");
    const first = how === "sndtimeo" ? "EINPROGRESS" : "EINTR";
    assert.match(seen[0] ?? "", new RegExp(`^connect ${first}\npoll 0\n`));
  });
}
