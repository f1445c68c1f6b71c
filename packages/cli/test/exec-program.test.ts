import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { POD_ENVIRONMENT, type WitnessName } from "@inpod/sandbox";
import {
  CLI,
  quoted,
  Run,
  runInpod,
  startInpod,
  until,
  useSandbox,
  witness,
} from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

test("the exit code is the program's", async () => {
  assert.equal((await runInpod(sandbox, ["sh", "-c", "exit 7"])).code, 7);
  const piped = await runInpod(sandbox, ["sh", "-c", "seq 5 | grep 4 | tr 4 x; exit 0"]);
  assert.deepEqual([piped.code, piped.stdout], [0, "x\n"]);
  await inventory.assertAsBefore(folder);
});

test("a signal that ends the program ends inpod", async () => {
  const { code, signal } = await runInpod(sandbox, ["sh", "-c", "kill -TERM $$"]);
  assert.deepEqual([code, signal], [null, "SIGTERM"]);
});

const COUNT = `
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => console.log(name));
process.stdin.resume();
setInterval(() => {}, 1000);
setTimeout(() => process.exit(9), 30_000).unref();
process.on("SIGUSR2", () => process.exit(5));
console.log("ready", process.pid);`;

test("SIGTERM and SIGHUP to inpod are passed on; what the whole group gets reaches the program once", async () => {
  const run = await startInpod(sandbox, ["node", "-e", COUNT]);
  await run.said(/ready \d+/);
  run.signalGroup("SIGINT");
  await run.said("SIGINT");
  process.kill(run.pid, "SIGTERM");
  await run.said("SIGTERM");
  process.kill(run.pid, "SIGHUP");
  await run.said("SIGHUP");
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    const { length } = run.stdout;
    run.signalGroup(signal);
    await until(`the program has got ${signal}`, () => run.stdout.slice(length).includes(signal));
  }
  // What inpod does with the last one it has done before the next one comes.
  process.kill(run.pid, "SIGTERM");
  await until("one more SIGTERM", () => run.stdout.match(/SIGTERM/g)?.length === 3);
  process.kill(Number(/ready (\d+)/.exec(run.stdout)?.[1]), "SIGUSR2");
  const { code, stdout } = await run.ended;
  assert.equal(code, 5);
  assert.deepEqual(stdout.trim().split("\n").slice(1), [
    "SIGINT",
    "SIGTERM",
    "SIGHUP",
    "SIGTERM",
    "SIGHUP",
    "SIGTERM",
  ]);
  await inventory.assertAsBefore(folder);
});

test("a program that is not there or cannot be executed is known before anything is started", async () => {
  const missing = await runInpod(sandbox, ["inpod-no-such-program"]);
  assert.equal(missing.code, 127);
  assert.doesNotMatch(missing.stderr, /starting an agent/);
  const path = join(folder, "not-executable");
  await writeFile(path, "#!/bin/sh\n");
  await chmod(path, 0o644);
  const refused = await runInpod(sandbox, [path]);
  assert.equal(refused.code, 126);
  assert.doesNotMatch(refused.stderr, /starting an agent/);
});

test("an unknown process is named", async () => {
  const argv = [process.execPath, CLI, "exec", "-t", "process/4194304", "--", "true"];
  const { code, stderr } = await new Run(sandbox.inLaptop(argv)).ended;
  assert.notEqual(code, 0);
  assert.match(stderr, /no process 4194304/);
});

test("a shell that runs a hundred programs sees each end", async () => {
  const { stdout, code } = await runInpod(sandbox, [
    "sh",
    "-c",
    "i=0; while [ $i -lt 100 ]; do /bin/true || exit 1; i=$((i+1)); done; echo $i",
  ]);
  assert.deepEqual([code, stdout], [0, "100\n"]);
});

test("variables are the pod's, but for those that are the machine's and what the configuration says", async () => {
  const say = ["sh", "-c", 'echo "$GREETING|$HOSTNAME|$EXTRA|$HOME|$PATH"'];
  const plain = await runInpod(sandbox, say);
  const own = `${process.env.HOME ?? ""}|${process.env.PATH ?? ""}`;
  assert.equal(plain.stdout, `${POD_ENVIRONMENT.GREETING}|${POD_ENVIRONMENT.HOSTNAME}||${own}\n`);
  const env = { exclude: ["HOSTNAME"], override: { EXTRA: "from the configuration" } };
  const changed = await runInpod(sandbox, say, {
    config: { feature: { env } },
    env: { ...process.env, HOSTNAME: "mine" },
  });
  assert.equal(
    changed.stdout,
    `${POD_ENVIRONMENT.GREETING}|mine|from the configuration|${own}\n`,
    changed.stderr,
  );
  assert.doesNotMatch(plain.stderr + changed.stderr, /not-a-real-secret/);
});

test("secrets of the pod are in no line of the log", async () => {
  const run = await runInpod(
    sandbox,
    ["sh", "-c", `cat ${sandbox.files.token} >/dev/null; env >/dev/null`],
    { flags: ["--verbose"] },
  );
  assert.equal(run.code, 0, run.stderr);
  assert.doesNotMatch(run.stderr, /not-a-real-secret/);
});

test("files of the pod are read, found through links, and those it has not are the machine's", async () => {
  const { files } = sandbox;
  const own = join(folder, "own-file");
  await writeFile(own, "mine\n");
  const { stdout, stderr } = await runInpod(sandbox, [
    "sh",
    "-c",
    `cat ${files.greeting}; cat ${own}; test -r ${files.settings} && echo readable
     readlink ${files.greeting} >/dev/null && echo link
     test -e /not/there || echo missing`,
  ]);
  assert.equal(stdout, "greetings from the pod's file\nmine\nreadable\nlink\nmissing\n", stderr);
});

for (const name of ["c-facts", "node-facts", "python-facts"] satisfies WitnessName[]) {
  test(`${name} observes through inpod what it observes in the pod`, async (t) => {
    const argv = await witness(name, t);
    if (argv === undefined) return;
    const { files, names } = sandbox;
    const asked = [
      ...["env", "GREETING", "env", "NOT_SET", "env", "DATABASE_URL"],
      ...["file", files.settings, "file", files.greeting, "file", files.token],
      ...["file", files.caCertificate, "file", files.namespace, "file", "/not/there"],
      ...["file", "/etc/resolv.conf", "file", "/etc/hosts"],
      ...["stat", files.settings, "stat", files.large, "stat", files.greeting],
      ...["resolve", "greetings", "resolve", names.orders, "resolve", "nobody.example"],
      // musl does not ask again over TCP when an answer is truncated.
      ...(name === "c-facts" ? [] : ["resolve", names.large]),
    ];
    const inside = [...argv];
    inside.push(await sandbox.copyIntoPod(inside.pop() as string));
    const pod = await new Run(sandbox.inPod([...inside, ...asked])).ended;
    const here = await runInpod(sandbox, [...argv, ...asked]);
    assert.equal(pod.code, 0, pod.stderr);
    assert.equal(here.code, 0, here.stderr);
    assert.deepEqual(JSON.parse(here.stdout), JSON.parse(pod.stdout));
  });
}

test("variables are bytes: what is not UTF-8 arrives as it is, in name and value", async () => {
  // printf and env(1), because Node's own strings cannot say it: ä in latin1.
  const variable = (name: string): string => `"$(printf '${name}\\344ME=v\\344lue \\377')"`;
  const podProcess = new Run(sandbox.inPod(["sh", "-c", `exec env ${variable("POD_N")} sleep 61`]));
  let sleeping = 0;
  await until("the pod's process is there", async () => {
    const found = (await sandbox.processes()).find(({ command }) => command === "sleep 61");
    sleeping = found?.pid ?? 0;
    return found !== undefined;
  });
  const print = "import os; print(sorted(x for x in os.environb.items() if b'_N\\xe4' in x[0]))";
  const argv = quoted([
    ...[process.execPath, CLI, "exec", "--target", `process/${sleeping}`, "--"],
    ...["python3", "-c", print],
  ]);
  const { stdout, stderr, code } = await new Run(
    sandbox.inLaptop(["sh", "-c", `exec env ${variable("OWN_N")} ${argv}`]),
  ).ended;
  process.kill(sleeping, "SIGKILL");
  await podProcess.ended;
  assert.equal(code, 0, stderr);
  const value = "b'v\\xe4lue \\xff'";
  assert.equal(stdout, `[(b'OWN_N\\xe4ME', ${value}), (b'POD_N\\xe4ME', ${value})]\n`, stderr);
  assert.doesNotMatch(stderr, /UTF-8/);
});

test("the host name is the pod's", async () => {
  const script = "import socket, os; print(socket.gethostname(), os.uname().nodename)";
  const { stdout } = await runInpod(sandbox, [
    "sh",
    "-c",
    `uname -n; ${quoted(["python3", "-c", script])}`,
  ]);
  const { hostname } = sandbox.network.pod;
  assert.equal(stdout, `${hostname}\n${hostname} ${hostname}\n`);
});
