/** How enter is started without a target, and what it says then. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Agent } from "./support/pod.ts";

const ENTER = join(dirname(fileURLToPath(import.meta.url)), "../../../dist/inpod-enter");

interface Description {
  readonly hostname: string;
  readonly environment: readonly (readonly [string, string])[];
  readonly missing: Readonly<Record<string, string>>;
}

test("without a target: the agent's own environment less its internals, its files, and no traffic", async (t) => {
  const env = { PATH: process.env.PATH, HOME: "/x", INPOD_OWNER: "eve", KEPT: "1", INPODX: "2" };
  const agent = Agent.spawn("user", ["--targetless"], { env });
  t.after(() => agent.stop());
  await agent.found();
  const { environment, missing, ...rest } = await agent.call<Description>("describe");
  assert.deepEqual(environment, [
    ["KEPT", "1"],
    ["INPODX", "2"],
  ]);
  assert.deepEqual(missing, { incoming: "there is no target", mirror: "there is no target" });
  assert.equal(rest.hostname, hostname());
  const { size } = await agent.call<{ size: number }>("look", "/etc/passwd");
  assert.ok(size > 0);
  await assert.rejects(agent.call("steal", 8080, "a"), /EPERM there is no target/);
});

const enter = (...args: string[]) =>
  spawnSync(ENTER, ["--listen", "0", ...args], { encoding: "utf8", timeout: 120_000 });
const NODE = ["--", process.execPath, "-e", "process.exit(3)"];

test("its events are lines for people where they are asked for", () => {
  const { stdout } = enter("--targetless", "--plain-log", ...NODE);
  const [listening, target, ended, ...rest] = stdout.replace(/^\S+Z /gm, "TIME ").split("\n");
  assert.match(listening ?? "", /^TIME INFO listening port=\d+$/);
  assert.match(target ?? "", /^TIME INFO target pid=\d+$/);
  assert.equal(ended, "TIME ERROR Node ended with code 3 (ECHILD)");
  assert.deepEqual(rest, [""]);
});

test("of a level, what matters less is left out", () => {
  assert.match(enter("--targetless", "--log-level", "error", ...NODE).stdout, /^\{"event":"error"/);
  assert.equal(enter("--targetless", "--log-level", "off", ...NODE).stdout, "");
});

test("at its deadline it ends, whatever Node does", () => {
  const { stdout, status } = enter(
    ...[
      "--targetless",
      "--deadline",
      "1",
      "--",
      process.execPath,
      "-e",
      "setInterval(() => {}, 1000)",
    ],
  );
  assert.match(stdout, /\{"event":"ended","why":"deadline"\}\n$/);
  assert.equal(status, 0);
});

for (const [args, what] of [
  [["--targetless", "--pid", "1"], /exactly one of --pid, --container-id and --targetless/],
  [["--targetless", "--metrics", "9000"], /--metrics: not a valid value/],
  [["--targetless", "--metrics", "[::1:9000"], /--metrics: not a valid value/],
  [["--targetless", "--log-level", "loud"], /--log-level: not a valid value/],
] as const)
  test(`${args.join(" ")}: refused`, () => {
    const { stdout, status } = enter(...args, ...NODE);
    assert.match(stdout, what);
    assert.equal(status, 2);
  });

test("an address that cannot be listened on is told, not left out", () => {
  const { stdout } = enter("--targetless", "--metrics", "192.0.2.1:9000", ...NODE);
  assert.match(stdout, /"errno":"EADDRNOTAVAIL","what":"listen for metrics: /);
});
