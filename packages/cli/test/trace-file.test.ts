/** The file of a trace: its limits while it is written, and what is believed of one that is read. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TracedCall } from "@inpod/layer";
import type { UserError } from "@inpod/protocol";
import { currentOf, troublesOf } from "../src/trace/advice.ts";
import { TraceFile } from "../src/trace/file.ts";
import { FORMAT, type TraceBegin, type TraceConfig, type TraceLine } from "../src/trace/format.ts";
import { parseLine, type Read, readTrace } from "../src/trace/read.ts";
import { renderJson, renderText } from "../src/trace/render.ts";
import { summarise } from "../src/trace/summary.ts";
import { Largest, Tally } from "../src/trace/tally.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-trace-file-"));
after(() => rmSync(folder, { recursive: true }));
let files = 0;
const next = (): string => join(folder, `${files++}.jsonl`);

const CONFIG: TraceConfig = {
  ...{ fsMode: "read", readOnly: [], readWrite: [], local: ["^/mine"], outgoingLocal: ["db"] },
  ...{ incomingMode: "steal", ignorePorts: [], envInclude: ["*"], envExclude: [] },
  ...{ localCredentials: [], skipProcesses: [], skipExtraBuildTools: [] },
};
const BEGIN: TraceBegin = {
  ...{ kind: "begin", format: FORMAT, formatVersion: 1, version: "0.1.0", target: "pod/x" },
  ...{ began: "2026-01-01T00:00:00.000Z", command: "node", configDigest: "0", config: CONFIG },
};
const CALL: TracedCall = {
  ...{ pid: 7, call: "open", subject: "/app/x", does: "read", verdict: "remote", why: "the mode" },
  ...{ key: "feature.fs.mode", result: "ok", tookMs: 1.23456 },
};
const LINE: TraceLine = {
  ...{ kind: "call", ms: 1, pid: 7, call: "open", subject: "/app/x", does: "read" },
  ...{ verdict: "remote", why: "the mode", key: "feature.fs.mode", result: "ok", tookMs: 1 },
};

const all = async (path: string): Promise<Read[]> => {
  const lines: Read[] = [];
  for await (const line of readTrace(path)) lines.push(line);
  return lines;
};
async function summaryOf(lines: readonly object[]) {
  const path = next();
  writeFileSync(path, [BEGIN, ...lines].map((line) => `${JSON.stringify(line)}\n`).join(""));
  return summarise(readTrace(path));
}

test("what is written is read again, with the program of each process", async () => {
  const path = next();
  const trace = new TraceFile({ path, begin: BEGIN, say: assert.fail });
  trace.program(7, "/usr/bin/cat");
  trace.call({ ...CALL, subject: Buffer.from("/app/é\n").toString("latin1") });
  trace.call({ ...CALL, pid: 8, key: undefined, result: undefined });
  trace.untold(3);
  await trace.close();
  await trace.close();
  const [begin, first, second, end, ...rest] = await all(path);
  assert.deepEqual(begin, BEGIN);
  assert.ok(first?.kind === "call" && second?.kind === "call" && end?.kind === "end");
  assert.deepEqual([first.subject, first.program, first.tookMs], ["/app/é\n", "cat", 1.235]);
  assert.deepEqual([second.program, second.key, second.result], [undefined, undefined, undefined]);
  assert.deepEqual([end.calls, end.dropped, end.beyondLimit], [2, 3, 0]);
  assert.deepEqual(rest, []);
});

test("at its limit a trace ends, says so once, and counts what is missing", async () => {
  const path = next();
  const said: string[] = [];
  const limitBytes = 20_000;
  const trace = new TraceFile({ path, begin: BEGIN, limitBytes, say: (text) => said.push(text) });
  for (let i = 0; i < 500; i++) trace.call(CALL);
  await trace.close();
  assert.equal(said.length, 1);
  assert.ok(readFileSync(path).length <= limitBytes);
  const lines = await all(path);
  const end = lines.at(-1);
  assert.ok(end?.kind === "end");
  assert.equal(end.calls, lines.length - 2);
  assert.equal(end.calls + end.beyondLimit, 500);
  assert.ok(end.beyondLimit > 0 && end.calls > 20);
  const text = renderText(await summarise(readTrace(path)), {
    stdout: { write: () => true },
    stderr: { write: () => true },
    env: {},
    directory: folder,
  });
  assert.match(text, /\d+ calls are missing: the file had reached its limit of 20000 bytes/);
});

test("where nothing can be written any more the trace ends, the session does not", async () => {
  const pipe = next();
  execFileSync("mkfifo", [pipe]);
  const reader = spawn("head", ["-c", "10", pipe], { stdio: "ignore" });
  const said: string[] = [];
  const trace = new TraceFile({ path: pipe, begin: BEGIN, say: (text) => said.push(text) });
  await once(reader, "exit");
  for (let i = 0; i < 1000; i++) trace.call(CALL);
  await trace.close();
  assert.equal(said.length, 1);
  assert.match(said[0] ?? "", /the trace ends here, .*EPIPE/);
});

test("a disk that is full from the beginning is told before anything is begun", () => {
  assert.throws(
    () => new TraceFile({ path: "/dev/full", begin: BEGIN, say: assert.fail }),
    (error: UserError) => error.code === "TRACE_FILE" && /ENOSPC/.test(String(error.cause)),
  );
});

for (const [what, content] of [
  ["an empty file", ""],
  ["a text", "hello\nworld\n"],
  ["other JSON lines", '{"a": 1}\n{"b": 2}\n'],
  ["a call without a beginning", `${JSON.stringify(LINE)}\n`],
  ["a beginning of something else", `${JSON.stringify({ ...BEGIN, format: "other" })}\n`],
  [
    "a beginning without its configuration",
    `${JSON.stringify({ ...BEGIN, config: { local: 1 } })}\n`,
  ],
  ["bytes", Buffer.from([0, 255, 10, 1, 2, 3])],
] as const) {
  test(`${what} is no trace, which is said`, async () => {
    const path = next();
    writeFileSync(path, content);
    await assert.rejects(all(path), (error: UserError) => error.code === "TRACE_FORMAT");
  });
}

test("a trace that is not there, and one of a newer inpod, are told from others", async () => {
  await assert.rejects(
    all(join(folder, "none")),
    (error: UserError) => error.code === "TRACE_FILE",
  );
  await assert.rejects(all(folder), (error: UserError) => error.code === "TRACE_FILE");
  const path = next();
  writeFileSync(path, JSON.stringify({ ...BEGIN, formatVersion: 2, version: "9.0" }));
  await assert.rejects(all(path), /newer inpod \(9\.0\)/);
});

test("malformed lines are counted and passed over, and so are kinds of a later version", async () => {
  const path = next();
  const line = JSON.stringify(LINE);
  const lines = [
    ...[JSON.stringify(BEGIN), line, "{", "null", "[]", '{"kind": 1}', '{"kind": "later"}'],
    ...[
      JSON.stringify({ ...LINE, ms: "1" }),
      JSON.stringify({ ...LINE, ms: -1 }),
      JSON.stringify(BEGIN),
    ],
    ...[
      JSON.stringify({ ...LINE, subject: "x".repeat(20_000) }),
      `"${"y".repeat(1_000_000)}"`,
      line,
    ],
    line.slice(0, 40), // cut short by the end of the session
  ];
  writeFileSync(path, lines.join("\n"));
  const summary = await summarise(readTrace(path));
  assert.equal(summary.calls, 2);
  assert.equal(summary.malformed, 10);
  assert.equal(summary.end, undefined);
});

test("whatever a line holds, it is a line of a trace or malformed, and can be summed up", async () => {
  const values = [
    null,
    true,
    0,
    -1,
    Number.MAX_VALUE,
    0.5,
    "",
    "ok",
    "__proto__",
    "a\tb",
    "tcp x:1",
    "/",
    [],
    ["a"],
    {},
    "\ud800",
  ];
  const keys = [...Object.keys(LINE), "peer", "addresses", "program"];
  const calls = [
    "open",
    "connect",
    "resolve",
    "bind",
    "take",
    "incoming",
    "program",
    "env",
    "absent",
    "later",
  ];
  let seed = 11;
  const random = (below: number): number => {
    seed = (seed * 48271) % 0x7fffffff;
    return seed % below;
  };
  const lines: object[] = [];
  for (let round = 0; round < 5000; round++) {
    const line: Record<string, unknown> = { ...LINE, call: calls[random(calls.length)] };
    for (let i = random(4); i > 0; i--)
      line[keys[random(keys.length)] ?? ""] = values[random(values.length)];
    lines.push(line);
    const text = JSON.stringify(line);
    parseLine(text);
    parseLine(text.slice(0, random(text.length)));
    const at = random(text.length);
    parseLine(`${text.slice(0, at)}${String.fromCharCode(random(256))}${text.slice(at + 1)}`);
  }
  const summary = await summaryOf(lines);
  const unknown = lines.filter((line) => parseLine(JSON.stringify(line)).kind === "unknown").length;
  assert.equal(summary.calls + summary.malformed + unknown, lines.length);
  assert.ok(summary.calls > 1000 && summary.malformed > 500);
  JSON.parse(renderJson(summary));
});

test("what came of each call is summed up by directory, host, name and port", async () => {
  const line = (more: Partial<TraceLine>) => ({ ...LINE, ...more });
  const dns = { call: "resolve", subject: "A api.shop", peer: "10.0.0.10" };
  const summary = await summaryOf([
    line({}),
    line({ subject: "/app/none", result: "ENOENT" }),
    line({ subject: "/app/own", verdict: "local", key: "feature.fs.fallback", result: undefined }),
    line({ subject: "/app/locked", result: "EACCES" }),
    line({ subject: "/etc/x", verdict: "local", result: undefined, tookMs: 50 }),
    line({ ...dns, addresses: ["10.0.0.7"], tookMs: 20 }),
    line({
      call: "connect",
      subject: "tcp 10.0.0.7:80",
      key: "feature.network.outgoing.filter.local",
      tookMs: 30,
    }),
    line({
      call: "connect",
      subject: "tcp 10.0.0.7:80",
      key: "feature.network.outgoing.filter.local",
      result: "ECONNREFUSED",
    }),
    line({ ...dns, subject: "A gone.shop", result: "NXDOMAIN" }),
    line({ ...dns, subject: "A gone.shop.svc", result: "NXDOMAIN" }),
    line({ call: "bind", subject: "0.0.0.0:8080", verdict: "take" }),
    line({ call: "take", subject: "tcp :8080", result: "EADDRINUSE" }),
    line({ call: "incoming", subject: "tcp :8080", peer: "10.1.1.1:5" }),
    line({ call: "incoming", subject: "tcp :8080", peer: "10.1.1.1:6" }),
    line({
      call: "env",
      subject: "AWS_PROFILE",
      verdict: "hidden",
      key: "feature.local_credentials",
    }),
  ]);
  const document = JSON.parse(renderJson(summary)) as Record<string, Record<string, unknown>[]>;
  const { pod, missing, fellBack, refused } = document.directories?.[0] ?? {};
  assert.deepEqual(
    { pod, missing, fellBack, refused },
    { pod: 1, missing: 1, fellBack: 1, refused: 1 },
  );
  const [connection] = document.connections ?? [];
  assert.deepEqual(
    [connection?.names, connection?.results],
    [["api.shop"], { ok: 1, ECONNREFUSED: 1 }],
  );
  const [port] = document.ports ?? [];
  assert.deepEqual([port?.port, port?.incoming, port?.clients], ["tcp 8080", 2, ["10.1.1.1"]]);
  // Of files that are this machine's there is no waiting for the pod.
  assert.deepEqual(
    summary.waiting.map(({ group, calls }) => [group, calls]),
    [
      ["files", 4],
      ["names", 3],
      ["connections", 2],
      ["ports", 1],
    ],
  );
  const troubles = troublesOf(summary);
  assert.deepEqual(
    troubles.map(({ what, subject }) => `${what} ${subject}`),
    [
      ...["file /app/none", "file /app/locked", "connection tcp 10.0.0.7:80", "name gone.shop"],
      ...["port tcp 8080", "variable AWS_PROFILE"],
    ],
  );
  const advised = troubles.flatMap(({ changes }) =>
    changes.map(({ config }) => JSON.stringify(config)),
  );
  assert.deepEqual(advised, [
    '{"feature":{"fs":{"local":["^/mine","^/app/none$"]}}}',
    '{"feature":{"fs":{"local":["^/mine","^/app/locked$"]}}}',
    '{"feature":{"network":{"outgoing":{"filter":{"local":["db","api.shop:80"]}}}}}',
    '{"feature":{"network":{"dns":{"filter":{"local":["gone.shop"]}}}}}',
    '{"feature":{"local_credentials":["aws"]}}',
  ]);
  assert.equal(currentOf(CONFIG).layer.files.mode, "read");
});

test("tables have a limit, and what is beyond it is counted", () => {
  const tally = new Tally((name) => ({ name, calls: 0 }), 2);
  for (const name of ["a", "b", "c", "a", "d"]) {
    const row = tally.at(name);
    if (row) row.calls++;
  }
  assert.deepEqual(tally.rows(), [
    { name: "a", calls: 2 },
    { name: "b", calls: 1 },
  ]);
  assert.equal(tally.others, 2);
  const largest = new Largest<string>(2);
  for (const [size, item] of [
    [1, "one"],
    [3, "three"],
    [2, "two"],
    [0, "none"],
  ] as const)
    largest.add(size, item);
  assert.deepEqual(largest.items, ["three", "two"]);
});

test("a large trace of ever new names is read in bounded memory", async () => {
  const path = next();
  const out = createWriteStream(path);
  out.write(`${JSON.stringify(BEGIN)}\n`);
  for (let block = 0; block < 60; block++) {
    let text = "";
    for (let i = 0; i < 1000; i++)
      text += `${JSON.stringify({ ...LINE, subject: `/d${block}-${i}/x`, result: "ENOENT" })}\n`;
    if (!out.write(text)) await once(out, "drain");
  }
  await new Promise<void>((resolve) => out.end(() => resolve()));
  // A heap in which the whole would have no room.
  const script = `import("${new URL("../src/trace/summary.ts", import.meta.url)}").then(async ({ summarise }) => {
    const { readTrace } = await import("${new URL("../src/trace/read.ts", import.meta.url)}");
    const { calls, directories } = await summarise(readTrace(process.argv[1]));
    console.log(calls, directories.rows().length, directories.others);
  })`;
  const argv = ["--max-old-space-size=96", "--import", "tsx", "-e", script, path];
  const cwd = new URL("../../..", import.meta.url);
  assert.equal(
    execFileSync(process.execPath, argv, { cwd, encoding: "utf8" }),
    "60000 20000 40000\n",
  );
});
