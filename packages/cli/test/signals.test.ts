import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

const SIGNALS = new URL("../src/exec/signals.ts", import.meta.url).href;

/** Stops as on Ctrl-Z and is continued before its agent has answered. Ends only if it does not sleep on. */
const STOPPED_AND_CONTINUED = `
import { spawn } from "node:child_process";
import { Signals } from ${JSON.stringify(SIGNALS)};
const signals = new Signals();
let paused;
const session = {
  pause: () => new Promise((resolve) => { paused = resolve; process.kill(process.pid, "SIGCONT"); setTimeout(resolve, 50); }),
  resume: async () => { console.log("resumed"); },
};
const child = spawn("cat", { stdio: ["pipe", "ignore", "ignore"] });
const end = signals.follow({ child, groupGot: async () => false, suspend: async () => console.log("stopped") }, session);
process.kill(process.pid, "SIGTSTP");
setTimeout(() => child.stdin.end(), 500);
console.log(JSON.stringify(await end));
signals.close();
`;

test("a SIGCONT that comes before we have stopped keeps us from stopping", async () => {
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "-e", STOPPED_AND_CONTINUED],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  const deadline = setTimeout(() => child.kill("SIGKILL"), 60_000);
  const [code] = await once(child, "close");
  clearTimeout(deadline);
  assert.equal(output, 'resumed\n{"code":0}\n');
  assert.equal(code, 0);
});
