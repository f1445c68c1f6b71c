/** `exec --trace`: what is written of a session, how it ends, and that `explain` says before what is decided then. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK, POD_FILES } from "@inpod/sandbox";
import type { Explanation } from "../src/explain/explanation.ts";
import type { TraceEnd, TraceLine } from "../src/trace/format.ts";
import { parseLine, type Read } from "../src/trace/read.ts";
import { CLI, Run, startInpod, until, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

const { greetings, httpPort, refusedPort } = NETWORK.services;
const SECRET = "c4n4ry";
const CONFIG = {
  feature: {
    env: { override: { OVERRIDDEN: SECRET }, exclude: "GREETING", unset: ["MINE"] },
    fs: { read_only: ["^/etc/app/"], local: ["^/config/"], not_found: ["^/gone/"] },
    network: {
      incoming: { mode: "steal", ignore_ports: [8123] },
      outgoing: { filter: { local: [`${greetings}:${refusedPort}`, "named:9"] } },
    },
  },
  skip_processes: ["basename"],
};

/** In the same words as `explain` asks. */
const PATHS = [
  ...[POD_FILES.settings, POD_FILES.greeting, "/etc/hosts", "/etc/passwd", "/etc/app/x"],
  ...["/gone/x", "/nowhere/x", `${folder}/own`, "/var/run/secrets/x", "/usr/share/none", "/a.js"],
];
const PORTS = [8123, 8124];
const OPENS = `
import socket, sys, urllib.request
for path in ${JSON.stringify(PATHS)}:
    for mode in "r", "a":
        try: open(path, mode).close()
        except OSError: pass
for host, port in (("${greetings}", ${httpPort}), ("${greetings}", ${refusedPort}), ("127.0.0.1", 9999)):
    try: socket.create_connection((host, port), timeout=10).close()
    except OSError: pass
try: urllib.request.urlopen("http://greetings/path?token=${SECRET}").read()
except OSError: pass
try: socket.getaddrinfo("nobody.example", 80)
except OSError: pass
held = []
for port in ${JSON.stringify(PORTS)}:
    s = socket.socket(); s.bind(("0.0.0.0", port)); s.listen(); held.append(s)
print("ready", flush=True)
c, peer = held[1].accept(); c.recv(100); c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"); c.close()
`;

const linesOf = (file: string): Read[] =>
  readFileSync(file, "utf8").trimEnd().split("\n").map(parseLine);
const callsOf = (file: string): TraceLine[] =>
  linesOf(file).filter((line): line is TraceLine => line.kind === "call");

const env = { PATH: process.env.PATH ?? "", HOME: folder, MINE: SECRET, KUBECONFIG: SECRET };

test("each decision is in the trace with its result, and is what explain says", async () => {
  writeFileSync(join(folder, "opens.py"), OPENS);
  const file = join(folder, "whole.jsonl");
  const command = ["sh", "-c", `basename x; exec python3 ${folder}/opens.py`];
  const run = await startInpod(sandbox, command, {
    ...{ config: CONFIG, env, cwd: folder, flags: ["--trace", file] },
  });
  await run.said("ready");
  const { body } = await sandbox.request({ port: 8124, timeoutMs: 10_000 });
  assert.equal(body, "ok");
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.doesNotMatch(readFileSync(file, "utf8"), new RegExp(SECRET));

  const lines = linesOf(file);
  assert.deepEqual([...new Set(lines.map(({ kind }) => kind))], ["begin", "call", "end"]);
  const end = lines.at(-1) as TraceEnd;
  const calls = callsOf(file);
  assert.deepEqual(
    [end.kind, end.calls, end.dropped, end.beyondLimit],
    ["end", calls.length, 0, 0],
  );
  const results = (call: string, subject: RegExp): string[] =>
    calls
      .filter((each) => each.call === call && subject.test(each.subject))
      .map(({ verdict, result }) => `${verdict} ${result}`);
  const opened = (path: string, does: string): string[] =>
    calls
      .filter((each) => each.call === "open" && each.subject === path && each.does === does)
      .map(({ verdict, result }) => `${verdict} ${result}`);
  assert.deepEqual(opened(POD_FILES.settings, "read"), ["remote ok"]);
  assert.deepEqual(opened("/gone/x", "read"), ["not-found ENOENT"]);
  assert.deepEqual(opened("/etc/app/x", "read"), ["remote ENOENT"]);
  assert.deepEqual(opened("/nowhere/x", "read"), ["local undefined"]);
  assert.deepEqual(results("absent", /^\/nowhere\/x$/), ["local ENOENT"]);
  assert.deepEqual(results("connect", new RegExp(`^tcp ${greetings}:${refusedPort}$`)), [
    "local undefined",
  ]);
  assert.deepEqual(
    new Set(results("connect", new RegExp(`^tcp ${greetings}:${httpPort}$`))),
    new Set(["remote ok"]),
  );
  assert.deepEqual(results("resolve", /^A nobody\.example$/), ["remote NXDOMAIN"]);
  assert.ok(results("resolve", /^A greetings\./).includes("remote ok"));
  assert.deepEqual(results("take", /./), ["stolen ok"]);
  assert.deepEqual(results("incoming", /:8124$/), ["stolen ok"]);
  assert.match(calls.find(({ call }) => call === "incoming")?.peer ?? "", /^198\.18\.200\.9:\d+$/);
  assert.ok(
    calls.some(
      ({ call, subject, verdict }) =>
        call === "program" && /basename$/.test(subject) && verdict === "skipped",
    ),
  );
  assert.ok(calls.every(({ tookMs = 0, ms }) => tookMs >= 0 && ms <= end.ms + 1));
  assert.ok(
    calls.filter(({ call }) => call === "open").every(({ program, pid }) => program && pid > 0),
  );

  const names = ["OVERRIDDEN=", "GREETING=", "MINE=", "KUBECONFIG=", "DATABASE_URL=", "PATH="];
  const hosts = [
    `tcp://${greetings}:${httpPort}`,
    `tcp://${greetings}:${refusedPort}`,
    "tcp://127.0.0.1:9999",
  ];
  const ports = PORTS.map((port) => `bind:0.0.0.0:${port}`);
  const programs = ["program:basename", "program:python3"];
  const explanations = await explain([...PATHS, ...names, ...hosts, ...ports, ...programs]);
  let compared = 0;
  for (const { subject, answers } of explanations) {
    for (const { about, verdict, why, key } of answers) {
      const decided = calls.find((each) => isAbout(each, subject, about));
      assert.ok(decided, `nothing in the trace about ${subject}: ${about}`);
      // Of a file that the pod has not the trace says so, by the key of the fallback.
      if (decided.key === "feature.fs.fallback")
        assert.deepEqual([verdict, key], ["remote", "feature.fs.mode"]);
      else
        assert.deepEqual(
          [decided.verdict, decided.why, decided.key],
          [verdict, why, key],
          `${subject} ${about}`,
        );
      compared++;
    }
  }
  const others = [...names, ...hosts, ...ports, ...programs];
  assert.equal(compared, 2 * PATHS.length + others.length);

  const summed = spawnSync(process.execPath, [CLI, "trace", file], { encoding: "utf8" });
  assert.equal(summed.status, 0, summed.stderr);
  assert.match(summed.stdout, /^sh in the place of process\/\d+.*: \d+ calls\n/);
  assert.match(summed.stdout, /\n\/app +1 .*\n/);
  assert.match(summed.stdout, /\ntcp 8124 +take .* 1 +1\n/);
  assert.match(summed.stdout, /\nname nobody\.example: NXDOMAIN/);
  assert.match(summed.stdout, /\nfile \/nowhere\/x: neither the pod nor this machine has it/);
  assert.match(
    summed.stdout,
    /\nvariable KUBECONFIG: .*\n.*\n {2}.* with \{"feature":\{"local_credentials":\["kubernetes"\]\}\}/,
  );
  assert.match(
    summed.stdout,
    /\nprogram basename: left alone: skip_processes names basename.*\n.*\n {2}.* with \{"skip_processes":\[\]\}/,
  );
});

/** Whether a call of the trace is what `explain` says of a subject. */
function isAbout(line: TraceLine, subject: string, about: string): boolean {
  const [, name] = /^(.*)=$/.exec(subject) ?? [];
  if (name !== undefined) return line.call === "env" && line.subject === name;
  const [, to] = /^tcp:\/\/(.*)$/.exec(subject) ?? [];
  if (to !== undefined) return line.call === "connect" && line.subject === `tcp ${to}`;
  const [, bound] = /^bind:(.*)$/.exec(subject) ?? [];
  if (bound !== undefined) return line.call === "bind" && line.subject === bound;
  const [, program] = /^program:(.*)$/.exec(subject) ?? [];
  if (program !== undefined)
    return line.call === "program" && new RegExp(`/${program}[0-9.]*$`).test(line.subject);
  return line.call === "open" && line.subject === subject && line.does === about;
}

async function explain(subjects: readonly string[]): Promise<readonly Explanation[]> {
  const config = join(folder, "explain.json");
  writeFileSync(config, JSON.stringify(CONFIG));
  const words = [
    "-t",
    `process/${sandbox.pid}`,
    "-f",
    config,
    "--command",
    "sh",
    "-o",
    "json",
    ...subjects,
  ];
  const run = new Run(
    sandbox.inLaptop([process.execPath, CLI, "explain", ...words], {
      ...{ cwd: folder, env, detached: true },
      stdio: ["ignore", "pipe", "pipe"],
    }),
  );
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { explanations: Explanation[] }).explanations;
}

test("kill -9 leaves a trace that can be read, without its end", async () => {
  const file = join(folder, "killed.jsonl");
  const loop = `while :; do cat ${POD_FILES.settings} >/dev/null; done`;
  const run = await startInpod(sandbox, ["sh", "-c", loop], { flags: ["--trace", file] });
  await until(
    "something is written",
    () => {
      try {
        return callsOf(file).length > 50;
      } catch {
        return false;
      }
    },
    30_000,
  );
  process.kill(run.pid, "SIGKILL");
  await run.ended;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [CLI, "trace", file, "-o", "json"],
    {
      encoding: "utf8",
    },
  );
  assert.equal(status, 0, stderr);
  const summed = JSON.parse(stdout) as { end: unknown; calls: number; malformed: number };
  assert.equal(summed.end, null);
  assert.ok(summed.calls > 50);
  assert.ok(summed.malformed <= 1);
});

test("a file that is there is not written over, nor one behind a link, and nothing is started", async () => {
  const file = join(folder, "mine.txt");
  writeFileSync(file, "mine");
  const link = join(folder, "link");
  symlinkSync(join(folder, "elsewhere"), link);
  for (const path of [file, link, join(folder, "none/x")]) {
    const run = await startInpod(sandbox, ["touch", join(folder, "ran")], {
      flags: ["--trace", path],
    });
    const { code, stderr } = await run.ended;
    assert.equal(code, 1, stderr);
    assert.match(stderr, /^error: (there is a file|the trace cannot be written to) /);
    assert.doesNotMatch(stderr, /agent/);
  }
  assert.equal(readFileSync(file, "utf8"), "mine");
  assert.throws(() => statSync(join(folder, "elsewhere")));
  assert.throws(() => statSync(join(folder, "ran")));
});

test("with --verbose the terminal is told of each path once, the trace of every call", async () => {
  const file = join(folder, "verbose.jsonl");
  const script = `cat ${POD_FILES.settings}; cat ${POD_FILES.settings}`;
  const run = await startInpod(sandbox, ["sh", "-c", script], { flags: ["--trace", file, "-v"] });
  const { code, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  const told = stderr
    .split("\n")
    .filter((line) => line.startsWith(`decision open ${POD_FILES.settings} `));
  assert.equal(told.length, 1, stderr);
  const opens = callsOf(file).filter(
    ({ call, subject }) => call === "open" && subject === POD_FILES.settings,
  );
  assert.equal(opens.length, 2);
});

test("what goes to a pipe can be read as it comes", async () => {
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  const reader = new Run(
    sandbox.inLaptop(["cat", pipe], { stdio: ["ignore", "pipe", "pipe"], detached: true }),
  );
  const run = await startInpod(sandbox, ["cat", POD_FILES.settings], { flags: ["--trace", pipe] });
  await run.ended;
  const { stdout } = await reader.ended;
  const lines = stdout.trimEnd().split("\n").map(parseLine);
  assert.deepEqual([lines[0]?.kind, lines.at(-1)?.kind], ["begin", "end"]);
});
