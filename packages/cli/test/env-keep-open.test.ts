/** `inpod env --keep-open` beside a sandbox's pod: programs that others start with its variables. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseEnv } from "node:util";
import { buildProgram, NETWORK, POD_FILES, type Sandbox, startSandbox } from "@inpod/sandbox";
import { CLI, Inventory, Run, until } from "./exec-support.ts";

const { greetings, refusedPort } = NETWORK.services;
/** What conformance/programs/facts.c and those beside it are asked. */
const PATH = `/greetings/${refusedPort}/${NETWORK.unreachable}/GREETING${POD_FILES.greeting}`;

const folder = mkdtempSync(join(tmpdir(), "inpod-keep-open-"));
const variables = join(folder, "dev", "session.sh");
/** A session lasts as long as most of this file. */
const SESSION_MS = 600_000;
const runs = new Set<Run>();
let sandbox: Sandbox;
let inventory: Inventory;
let session: Run;

before(async () => {
  sandbox = await startSandbox();
  inventory = await Inventory.of(sandbox);
  session = keepOpen(["--steal", "--format", "shell", "--output", variables]);
  await session.said(/^inpod: ready/m, "stderr");
});
async function end(which: Iterable<Run>): Promise<void> {
  for (const run of which) run.signalGroup("SIGKILL");
  await Promise.all([...which].map(({ ended }) => ended));
}
// What a failed test has left running must not fail the next.
afterEach(() => end([...runs].filter((run) => run !== session)));
after(async () => {
  await end(runs);
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});

function inLaptop(argv: readonly string[], stdin: "ignore" | "pipe" = "ignore"): Run {
  const stdio = [stdin, "pipe", "pipe"] as const;
  const run = new Run(
    sandbox.inLaptop(argv, { stdio: [...stdio], cwd: folder, env: process.env, detached: true }),
    SESSION_MS,
  );
  runs.add(run);
  const forget = (): void => {
    runs.delete(run);
  };
  run.ended.then(forget, forget);
  return run;
}
const keepOpen = (flags: readonly string[], stdin: "ignore" | "pipe" = "ignore"): Run =>
  inLaptop(
    [process.execPath, CLI, "env", "--keep-open", "-t", `process/${sandbox.pid}`, ...flags],
    stdin,
  );
/** As somebody who can only set variables. */
const begin = (argv: readonly string[], file = variables): Run =>
  inLaptop(["sh", "-c", '. "$0"; exec "$@"', file, ...argv]);

const program = (name: string): string =>
  fileURLToPath(new URL(`../../../conformance/programs/${name}`, import.meta.url));
async function built(
  source: string,
  compile: (path: string) => readonly string[],
  run: (folder: string) => readonly string[],
  environment: Record<string, string> = {},
): Promise<readonly string[] | undefined> {
  const recipe = {
    sources: [program(source)],
    compile: ([path = ""]: readonly string[]) => compile(path),
  };
  const found = await buildProgram({ ...recipe, run, environment });
  return found.kind === "ready" ? found.argv : undefined;
}
const c = (compiler: string, ...flags: readonly string[]) =>
  built(
    "facts.c",
    (path) => [compiler, "-O1", ...flags, "-o", "program", path],
    (into) => [join(into, "program")],
  );

const ask = async (port: number): Promise<string> => {
  const url = `http://${sandbox.podAddress}:${port}${PATH}`;
  const { body, local } = await sandbox.request(url);
  return body.replace(`${local.address}:${local.port}`, "its client");
};

/** What the pod's own program would see. */
function assertInPod(text: string, name: string): void {
  const lines = text.split("\n");
  for (const line of [
    "peer its client",
    `out greetings to ${NETWORK.pod.address}`,
    `dns ${greetings}`,
    "env hello-from-the-pod",
    `hostname ${NETWORK.pod.hostname}`,
    "refused ECONNREFUSED",
    "unreachable EHOSTUNREACH",
  ])
    assert.ok(lines.includes(line), `${name}: no "${line}" in\n${text}`);
}

/** What an IDE does for a JVM that is to call it. */
const IDE = `
const server = require("net").createServer((socket) => {
  socket.on("error", () => {});
  socket.once("data", (bytes) => console.log("attached " + bytes));
  socket.write("JDWP-Handshake");
}).listen(0, "127.0.0.1", () => console.log("waiting " + server.address().port));`;

test("servers of several runtimes at once have the pod's clients, network, files, environment and name", async (t) => {
  const ide = inLaptop([process.execPath, "-e", IDE]);
  await ide.said(/waiting \d+/);
  const debugging = `-agentlib:jdwp=transport=dt_socket,server=n,suspend=n,address=127.0.0.1:${/waiting (\d+)/.exec(ide.stdout)?.[1]}`;
  const java = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", debugging];
  const programs = {
    node: [process.execPath, program("node-single.mjs")],
    python: ["python3", program("python-threads.py")],
    glibc: await c("cc"),
    musl: await c("musl-gcc"),
    cgo: await built(
      "facts.go",
      (path) => ["go", "build", "-o", "program", path],
      (into) => [join(into, "program")],
      { CGO_ENABLED: "1" },
    ),
    java: await built(
      "Facts.java",
      (path) => ["javac", "-d", ".", path],
      (into) => ["java", ...java, "-cp", into, "Facts", "nio"],
    ),
  };
  const servers = Object.entries(programs).flatMap(([name, argv], index) => {
    if (argv === undefined) t.diagnostic(`${name}: its compiler is not there`);
    const port = 4101 + index;
    return argv === undefined ? [] : [{ name, port, run: begin([...argv, String(port)]) }];
  });
  await Promise.all(servers.map(({ run, port }) => run.said(`listening ${port}`)));
  const answers = await Promise.all(servers.map(({ port }) => ask(port)));
  for (const [index, { name }] of servers.entries()) assertInPod(answers[index] ?? "", name);
  if (programs.java) await ide.said("attached JDWP-Handshake");
  for (const { run, port } of servers) {
    run.signalGroup("SIGTERM");
    await run.ended;
    await session.said(`does not listen on port ${port} any more`, "stderr");
  }
  ide.signalGroup("SIGTERM");
  await ide.ended;
});

test("a program that is started again has its port again, and its children are in the session", async () => {
  for (const how of [[], ["sh", "-c", '"$0" "$@"; true']]) {
    const run = begin([...how, process.execPath, program("node-single.mjs"), "4101"]);
    await run.said("listening 4101");
    assertInPod(await ask(4101), how.join(" "));
    run.signalGroup("SIGINT");
    await run.ended;
  }
});

test("a static program that is started directly is told of; by a shell it is in the session", async (t) => {
  const argv = await c("musl-gcc", "-static");
  if (argv === undefined) return t.skip("musl-gcc is not there");
  const alone = begin([...argv, "4107"]);
  await session.said(/program \(\d+\) has the session's variables and runs without it/, "stderr");
  alone.signalGroup("SIGTERM");
  await alone.ended;
  const wrapped = begin(["sh", "-c", 'exec "$0" "$@"', ...argv, "4108"]);
  await wrapped.said("listening 4108");
  assertInPod(await ask(4108), "static");
  wrapped.signalGroup("SIGTERM");
  await wrapped.ended;
});

test("variables are the user's alone; what the session cannot do is said at its start", () => {
  assert.equal(statSync(variables).mode & 0o777, 0o600);
  assert.equal(session.stdout, "");
  assert.match(session.stderr, /^inpod: not in it are static programs .*setuid ones/m);
  assert.doesNotMatch(session.stderr, /not-a-real-secret/);
});

test("Ctrl-C ends its programs and leaves nothing, on this machine and in the pod", async () => {
  const run = begin([process.execPath, program("node-single.mjs"), "4101"]);
  await run.said("listening 4101");
  session.signalGroup("SIGINT");
  assert.equal((await run.ended).signal, "SIGTERM");
  const { code, stderr } = await session.ended;
  assert.equal(code, 0, stderr);
  assert.match(stderr, /^inpod: ended with the session .*: node \(\d+\)$/m);
  assert.ok(!existsSync(variables));
  await inventory.assertAsBefore(folder);
});

test("killed, its programs go on if on_disconnect says so; its file is gone, and who comes then is told", async () => {
  const config = join(folder, "inpod.json");
  writeFileSync(config, JSON.stringify({ on_disconnect: "continue" }));
  const file = join(folder, "killed.sh");
  const killed = keepOpen(["--format", "shell", "--output", file, "-f", config]);
  await killed.said(/^inpod: ready/m, "stderr");
  const copy = join(folder, "copy.sh");
  execFileSync("cp", [file, copy]);
  const socket = execFileSync("sh", ["-c", '. "$0"; printenv INPOD_PRELOAD', copy], {
    encoding: "utf8",
    env: { PATH: process.env.PATH },
  });
  const waiting =
    "process.stdin.on('data', () => { console.log(require('os').hostname()); process.exit(); }); console.log('up')";
  const run = inLaptop(
    ["sh", "-c", '. "$0"; exec "$@"', file, process.execPath, "-e", waiting],
    "pipe",
  );
  await run.said("up");
  process.kill(killed.pid, "SIGKILL");
  await killed.ended;
  await until(
    "its secrets are gone",
    () => !existsSync(file) && !existsSync(dirname(socket.trim().replace(/^\d+:/, ""))),
  );
  run.child.stdin?.end("now\n");
  const { code, stdout } = await run.ended;
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, new RegExp(NETWORK.pod.hostname));
  const late = await begin(["true"], copy).ended;
  assert.equal(late.code, 125);
  assert.match(late.stderr, /its session is gone; so it is ended/);
});

test("a shell evaluates it and goes on, and ends the session by its number", async () => {
  const inpod = [process.execPath, CLI, "env", "--keep-open", "-t", `process/${sandbox.pid}`];
  const script = `eval "$("$@" --format shell --show-values &)"; uname -n; kill "\${INPOD_PRELOAD%%:*}"`;
  const { stdout, code } = await inLaptop(["sh", "-c", script, "-", ...inpod]).ended;
  assert.deepEqual([stdout, code], [`${NETWORK.pod.hostname}\n`, 0]);
});

interface Reading {
  readonly flags: readonly string[];
  /** As whoever starts programs with it reads it. @param text of the file, or of stdout */
  readonly read: (text: string) => NodeJS.ProcessEnv;
}
const valuesOf = (text: string): NodeJS.ProcessEnv => {
  const { variables } = JSON.parse(text) as { variables: { name: string; value: string }[] };
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
};
const inPairs = (text: string): NodeJS.ProcessEnv =>
  Object.fromEntries(
    text
      .trim()
      .split(/(?<!\\);/)
      .map((part) => /^([^=]*)=(.*)$/s.exec(part.replaceAll("\\;", ";"))?.slice(1) ?? []),
  );
const toFile = (name: string) => ["--output", join(folder, name)];
const READINGS: Readonly<Record<string, Reading>> = {
  json: { flags: toFile("session.json"), read: valuesOf },
  dotenv: { flags: toFile("dotenv.env"), read: parseEnv },
  vscode: { flags: toFile("vscode.env"), read: parseEnv },
  jetbrains: { flags: ["--show-values"], read: inPairs },
};

test("who reads any of the formats has programs in the pod's place, in one session of each at once", async () => {
  const script = `uname -n; echo "$GREETING"; cat ${POD_FILES.greeting}`;
  await Promise.all(
    Object.entries(READINGS).map(async ([format, { flags, read }]) => {
      const run = keepOpen(["--format", format, ...flags]);
      await run.said(/^inpod: ready/m, "stderr");
      const [, file] = flags;
      // Of two pipes what was written later may be read sooner.
      if (file === undefined) await run.said("\n");
      const env = read(file === undefined ? run.stdout : readFileSync(file, "utf8"));
      const words = Object.entries(env).map(([name, value]) => `${name}=${value}`);
      const { stdout, stderr } = await inLaptop(["env", ...words, "sh", "-c", script]).ended;
      const [hostname, greeting, content] = stdout.split("\n");
      assert.deepEqual(
        [hostname, greeting, content],
        [NETWORK.pod.hostname, "hello-from-the-pod", "greetings from the pod's file"],
        `${format}: ${stderr}${run.stderr}`,
      );
      run.signalGroup("SIGTERM");
      await run.ended;
    }),
  );
  await inventory.assertAsBefore(folder);
});

test("for VS Code it prints what names the file and the task; it ends when stdin does", async () => {
  const file = join(folder, "session.env");
  const run = keepOpen(["--format", "vscode", "--output", file, "--end-with-stdin"], "pipe");
  await run.said(/^inpod: ready/m, "stderr");
  await run.said(/^\}\n$/m);
  const fragment = JSON.parse(run.stdout);
  assert.deepEqual(fragment["launch.json"], { envFile: file, preLaunchTask: "inpod" });
  const [task] = fragment["tasks.json"].tasks;
  assert.equal(task.args[0], "env");
  assert.match("inpod: ready: programs", new RegExp(task.problemMatcher.background.endsPattern));
  run.child.stdin?.end();
  assert.equal((await run.ended).code, 0);
  assert.ok(!existsSync(file));
  await inventory.assertAsBefore(folder);
});
