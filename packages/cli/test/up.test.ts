/** `inpod up` with a sandbox's pod: several sessions, one terminal, one end. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { CLI, isRunning, Run, sessionProcesses, until, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const runs: Run[] = [];
mkdirSync(join(folder, "web"));
// Both answer their signals in their own time, and say what they are.
writeFileSync(
  join(folder, "server.mjs"),
  `
import { createServer } from "node:http";
const [name, port] = process.argv.slice(2);
process.on("SIGINT", () => { console.log("bye " + name); process.exit(0); });
process.on("SIGTERM", () => { console.log("end " + name); process.exit(0); });
createServer((q, r) => r.end("I am " + name)).listen(Number(port), "127.0.0.1", () => {
console.log("up " + name + " in " + process.cwd().split("/").pop() + " with " + process.env.MARK);
console.error("pid " + process.pid);
});`,
);
afterEach(() => {
  for (const run of runs.splice(0)) run.signalGroup("SIGKILL");
});

const { httpPort } = NETWORK.pod;
const target = () => `process/${sandbox.pid}`;
const node = (name: string, port: number): string =>
  JSON.stringify([process.execPath, join(folder, "server.mjs"), name, String(port)]);
const BOTH = () => `
common:
  config_patch: { feature: { fs: local } }
services:
  shop:
    target: ${target()}
    default_mode: replace
    command: ${node("shop", httpPort)}
    env: { override: { MARK: "{{ key }}" } }
  web:
    mode: exchange
    target: ${target()}
    expose: 18431:8431
    command: ${node("web", 18431)}
    directory: web
    env: { override: { MARK: beside } }
`;
const up = (yaml: string, ...flags: string[]): Run => {
  const file = join(folder, "inpod-up.yaml");
  writeFileSync(file, yaml);
  const argv = [process.execPath, CLI, "up", "-f", file, "--key", "ann", ...flags];
  const run = new Run(
    sandbox.inLaptop(argv, {
      cwd: tmpdir(),
      env: { ...process.env, INPOD_AGENT_TCP_STEAL_TRAFFIC: "false" },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  );
  runs.push(run);
  return run;
};
const ready = async (run: Run): Promise<void> => {
  await run.said("up shop");
  await run.said("up web");
  for (const name of ["shop", "web {2}"])
    await run.said(new RegExp(`^${name}.*pid`, "m"), "stderr");
  await run.said("until Ctrl-C", "stderr");
};
/** Of each part of it. */
const parts = (): string[] =>
  sessionProcesses().filter((line) => line.includes(` __up -f ${folder}`));

test("each service has its session, its program and its lines; one Ctrl-C ends all with code 0", async () => {
  const run = up(BOTH());
  await ready(run);
  assert.equal((await sandbox.request({})).body, "I am shop");
  assert.match(run.stdout, /^web {2}\| up web in web with beside$/m);
  assert.match(run.stdout, /^shop \| up shop in inpod-test-\w+ with ann$/m);
  for (const line of run.stdout.trim().split("\n")) assert.match(line, /^(web |shop) \| /);
  assert.match(run.stderr, /^web {2}\| inpod: .*port 8431 .* comes to 127\.0\.0\.1:18431$/m);
  assert.equal(parts().length, 3);
  process.kill(run.pid, "SIGINT");
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^inpod: SIGINT has come: ending shop, web$/m);
  assert.match(stdout, /^web {2}\| bye web$/m);
  assert.match(stdout, /^shop \| bye shop$/m);
  assert.deepEqual(parts(), []);
  await inventory.assertAsBefore(folder);
});

test("one that fails ends the others, and its code is inpod's; with --keep-going they go on", async () => {
  const yaml = `${BOTH()}  bad: { target: none, mode: exec, command: [nothing-of-that-name] }\n`;
  const failed = await up(yaml).ended;
  assert.equal(failed.code, 127, failed.stderr);
  assert.match(failed.stderr, /^bad {2}\| error: no command "nothing-of-that-name"$/m);
  assert.match(failed.stderr, /^inpod: bad ended with 127: ending shop, web$/m);
  const run = up(yaml, "--keep-going");
  await ready(run);
  await run.said("inpod: bad ended with 127\n", "stderr");
  assert.equal((await sandbox.request({})).body, "I am shop");
  // One that ends well ends nothing either; of the ports beside a program there is no use.
  const [, pid = ""] = /^web {2}\| pid (\d+)$/m.exec(run.stderr) ?? [];
  process.kill(Number(pid), "SIGTERM");
  await run.said("inpod: web ended with 0\n", "stderr");
  await until("web's session is over", () => parts().length === 1);
  assert.equal((await sandbox.request({})).body, "I am shop");
  process.kill(run.pid, "SIGTERM");
  const { code, stderr } = await run.ended;
  assert.equal(code, 127, stderr);
  await inventory.assertAsBefore(folder);
});

test("killed, it leaves nothing: the parts notice, and end as they would by themselves", async () => {
  const run = up(BOTH());
  await ready(run);
  const pids = [...run.stderr.matchAll(/\| pid (\d+)$/gm)].map(([, pid]) => Number(pid));
  assert.equal(pids.length, 2);
  process.kill(run.pid, "SIGKILL");
  await run.ended;
  await until("the programs have ended", () => !pids.some(isRunning));
  await until("the parts have ended", () => parts().length === 0);
  await inventory.assertAsBefore(folder);
});

test("--dry-run says what would be started, without values of variables", async () => {
  const { code, stdout } = await up(BOTH(), "--dry-run").ended;
  assert.equal(code, 0);
  const [shop = "", session = "", program = "", rest] = stdout.split("\n");
  assert.match(
    shop,
    /^shop: inpod exec -t process\/\d+ -k ann -- .*server\.mjs shop \d+ {2}\(in .*, with more/,
  );
  assert.match(session, /^web: inpod exchange process\/\d+ --expose 18431:8431 {2}\(in /);
  assert.match(program, /^web: \/.*server\.mjs web 18431 {2}\(in .*\/web\)$/);
  assert.equal(rest, "");
  assert.doesNotMatch(stdout, /beside/);
});
