/** SIGKILL and SIGSTOP of who takes part in a session. The agent's processes are in exec-faults.test.ts. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { type Outcome, Run, runInpod, startInpod, until, useSandbox } from "./exec-support.ts";
import { childrenOf, commandOf } from "./processes.ts";

const { sandbox, inventory, folder } = await useSandbox();

const EACH = 40;

test('inpod stopped for a while and continued breaks nothing; killed in the middle of 200 calls, with "continue" each goes on', async () => {
  const flight = join(folder, "flight");
  const source = fileURLToPath(new URL("trees/flight.c", import.meta.url));
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-pthread", "-o", flight, source]);
  const { pod, blackHole } = NETWORK;
  const argv = [
    flight,
    blackHole,
    pod.address,
    pod.echoPort,
    sandbox.files.greeting,
    pod.httpPort,
    EACH,
  ];
  const run = await startInpod(sandbox, argv.map(String), {
    flags: ["--steal"],
    config: { on_disconnect: "continue" },
  });
  await run.said("under way");
  assert.equal((await sandbox.request({})).body, "local");

  process.kill(run.pid, "SIGSTOP");
  const meanwhile = sandbox.request({ timeoutMs: 20_000 });
  process.kill(run.pid, "SIGCONT");
  assert.equal((await meanwhile).body, "local");
  assert.equal(run.stdout, "under way\n", run.stderr);

  process.kill(run.pid, "SIGKILL");
  // Until its parent has changed it may have made a call before our end.
  await until(
    "who asks for names has gone on",
    () => run.stdout.match(/^naming /gm)?.length === EACH,
  );
  // The listener is this machine's own now.
  const visit = `
import socket
for i in range(${EACH}):
    with socket.create_connection(("127.0.0.1", ${pod.httpPort}), 20) as s: s.settimeout(20); assert s.recv(10)`;
  const visited = await new Run(sandbox.inLaptop(["python3", "-c", visit])).ended;
  assert.equal(visited.code, 0, visited.stderr);
  const { stdout } = await run.ended;
  const told = new Map<string, number>();
  for (const line of stdout.trim().split("\n")) {
    // In progress towards us, or not yet: its socket is ended, or has no way to there.
    const known = line.replace(
      /^connecting E(CONNRESET|CONNREFUSED|HOSTUNREACH)$/,
      "connecting fails",
    );
    told.set(known, (told.get(known) ?? 0) + 1);
  }
  const expected = [
    ["under way", 1],
    ["connecting fails", EACH],
    ["transferring ECONNRESET", EACH],
    ["accepting ok", EACH],
    ["opening ENOENT", EACH],
    ["naming ok", EACH],
    ["later EHOSTUNREACH", 1],
  ];
  assert.deepEqual([...told].sort(), expected.sort());
  await inventory.assertAsBefore(folder);
});

test("when the program or a process of it is killed that is how it ended, and nothing is left", async () => {
  const run = await startInpod(sandbox, [
    "sh",
    "-c",
    'sleep 63 & echo "$! $$"; wait $!; echo "it was $?"; exec sleep 64',
  ]);
  await run.said(/\d+ \d+\n/);
  const [child, main] = run.stdout.trim().split(" ").map(Number);
  process.kill(child as number, "SIGKILL");
  await run.said("it was 137\n");
  process.kill(main as number, "SIGKILL");
  const { signal, stderr } = await run.ended;
  assert.equal(signal, "SIGKILL", stderr);
  await inventory.assertAsBefore("sleep 6");
});

test("when the keeper and inpod-jobs are killed the session goes on, and there is a keeper for when inpod is killed", async () => {
  const looks = `echo ready; while read -r line; do cat ${sandbox.files.greeting}; echo "$line"; done; sleep 66`;
  const run = await startInpod(sandbox, ["sh", "-c", looks], { stdin: "pipe" });
  await run.said("ready\n");
  const helpers = (name: string): number[] =>
    childrenOf(run.pid).filter((pid) => commandOf(pid).includes(`/${name} `));
  const killed = ["inpod-keeper", "inpod-jobs"].flatMap(helpers);
  assert.ok(killed.length >= 2, `${killed}`);
  for (const pid of killed) process.kill(pid, "SIGKILL");
  await until("another keeper is there", () =>
    helpers("inpod-keeper").some((pid) => !killed.includes(pid)),
  );
  run.child.stdin?.write("after\n");
  await run.said("greetings from the pod's file\nafter\n");
  // What ends the tree is the new one.
  process.kill(run.pid, "SIGKILL");
  await run.ended;
  await inventory.assertAsBefore("sleep 6");
});

test("when the launcher is killed before it has become the command it is said, and nothing is left", async () => {
  // As early as can be: when it has been started.
  const hook = join(folder, "hook.mjs");
  await writeFile(
    hook,
    `import { subscribe } from "node:diagnostics_channel";
subscribe("child_process", ({ process: child }) =>
  child.once("spawn", () => { if (child.spawnfile.endsWith("inpod-launch")) child.kill("SIGKILL"); }));`,
  );
  let outcome: Outcome;
  let tries = 0;
  // On a busy machine it may have become the command already: that is killed then, and inpod ends as it did.
  do {
    outcome = await runInpod(sandbox, ["sleep", "65"], {
      env: { ...process.env, NODE_OPTIONS: `--import ${hook}` },
    });
  } while (outcome.signal === "SIGKILL" && ++tries < 5);
  const { code, stderr } = outcome;
  assert.ok(code !== 0 && code !== null, stderr);
  assert.match(stderr, /error: inpod-launch was ended before.*\n *because: it got SIGKILL/);
  await inventory.assertAsBefore("sleep 6");
});
