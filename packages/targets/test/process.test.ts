import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UserError } from "@inpod/protocol";
import { type AgentOptions, openProcess } from "@inpod/targets";
import { EnterEventReader } from "../src/process/enter-events.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-process-"));
after(() => rmSync(folder, { recursive: true }));

/** A program that speaks as inpod-enter does, and that needs no rights. */
function standIn(name: string, source: string, interpreter = process.execPath) {
  const enterPath = join(folder, name);
  writeFileSync(enterPath, `#!${interpreter}\n${source}`, { mode: 0o755 });
  return { enterPath, nodePath: process.execPath, agentPath: "/agent.js" };
}
const say = "const say = (event) => console.log(JSON.stringify(event));";
const echo = standIn(
  "echo",
  `${say}
  const server = require("net").createServer((socket) => socket.pipe(socket));
  server.listen(0, "127.0.0.1", () => {
    say({ event: "listening", port: server.address().port });
    say({ event: "args", args: process.argv.slice(2) });
    say({ event: "target", pid: 1 });
  });
  process.on("SIGTERM", () => process.exit(0));`,
);
const options = (more: Partial<AgentOptions> = {}): AgentOptions => ({
  publicKey: "S0VZ",
  sessionId: "test",
  startupTimeoutMs: 60_000,
  idleTimeoutMs: 30_000,
  communicationTimeoutMs: 30_000,
  signal: new AbortController().signal,
  onProgress: () => {},
  ...more,
});
const rejectsWith = (work: Promise<unknown>, code: string, words: RegExp) =>
  assert.rejects(work, (error) => {
    assert.ok(error instanceof UserError, String(error));
    const cause = error.cause instanceof Error ? error.cause.message : "";
    assert.equal(error.code, code);
    assert.match([error.message, cause, ...error.hints].join("\n"), words);
    return true;
  });

test("events are read line by line, in any pieces, and what is none is left out", () => {
  const text =
    '{"event":"listening","port":80}\nnoise\n7\nnull\n{"event":"later"}\n{"event":"listening","port":0}\n{"event":"listening","port":null}\n{"event":"target-gone"}\n{"event":"error","errno":"EPERM","what":"no"}\n{"event":"ended","why":"deadline"}\n';
  const expected = [
    { kind: "listening", port: 80 },
    { kind: "listening", port: undefined },
    { kind: "target-gone" },
    { kind: "error", errno: "EPERM", what: "no" },
    { kind: "ended", why: "deadline" },
  ];
  assert.deepEqual(new EnterEventReader().push(text), expected);
  const reader = new EnterEventReader();
  assert.deepEqual(
    [...text].flatMap((char) => reader.push(char)),
    expected,
  );
});

test("a line without end is refused", () => {
  assert.throws(() => new EnterEventReader().push("x".repeat(5000)), /without end/);
});

test("an agent is started, reached, and gone after remove()", async () => {
  const agent = await openProcess(process.pid, echo).place(options());
  const socket = await agent.dial(AbortSignal.timeout(60_000));
  socket.write("hello");
  const [answer] = await once(socket, "data");
  assert.equal(String(answer), "hello");
  socket.destroy();
  await agent.remove();
  await agent.remove();
  assert.match(await agent.gone, /ended/);
  await rejectsWith(agent.dial(AbortSignal.timeout(60_000)), "AGENT_GONE", /no agent any more/);
});

test("an agent that does not end on SIGTERM is killed", { timeout: 120_000 }, async () => {
  const stubborn = standIn(
    "stubborn",
    `${say} process.on("SIGTERM", () => {}); setInterval(() => {}, 1000);
    say({ event: "listening", port: 9 }); say({ event: "target", pid: 1 });`,
  );
  const agent = await openProcess(process.pid, stubborn).place(options());
  await agent.remove();
  assert.match(await agent.gone, /SIGKILL/);
});

test("no such process is told before anything is started", () => {
  assert.throws(() => openProcess(4_194_304 + 1, echo), { code: "PROCESS_NOT_FOUND" });
  assert.throws(() => openProcess(-1, echo), { code: "PROCESS_NOT_FOUND" });
});

test("missing rights, a target that has ended and other ends are told in words", async () => {
  const failing = (errno: string) =>
    standIn(
      errno,
      `${say} say({ event: "error", errno: "${errno}", what: "in words" }); process.exitCode = 1;`,
    );
  const place = (paths: typeof echo) => openProcess(process.pid, paths).place(options());
  await rejectsWith(place(failing("EPERM")), "PROCESS_FORBIDDEN", /in words.*run it as root/s);
  await rejectsWith(place(failing("ESRCH")), "PROCESS_NOT_FOUND", /in words/);
  await rejectsWith(place(failing("EIO")), "AGENT_ENDED", /in words/);
  const silent = standIn("silent", "console.error('from stderr'); process.exitCode = 1;");
  await rejectsWith(place(silent), "AGENT_ENDED", /from stderr/);
  await rejectsWith(place({ ...echo, enterPath: join(folder, "none") }), "AGENT_ENDED", /ENOENT/);
});

test("a start that takes too long or is aborted leaves no process", async () => {
  const marker = join(folder, "ended");
  // A shell has begun long before that, also on a busy machine.
  const slow = standIn(
    "slow",
    `trap 'echo >"${marker}"; exit 0' TERM
    echo '{"event":"listening","port":9}'; while :; do sleep 0.1; done`,
    "/bin/sh",
  );
  const startupTimeoutMs = 1_500;
  const placing = openProcess(process.pid, slow).place(options({ startupTimeoutMs }));
  await rejectsWith(placing, "AGENT_NOT_READY", /within 1.5 s/);
  assert.ok(existsSync(marker));
  const aborted = AbortSignal.abort(new Error("Ctrl-C"));
  await assert.rejects(
    openProcess(process.pid, slow).place(options({ signal: aborted })),
    /Ctrl-C/,
  );
});

test("inpod-enter is told the process, the gid of the rules and the agent's command", async () => {
  const told = standIn(
    "told",
    `${say} say({ event: "error", errno: "EIO", what: process.argv.slice(2).join(" ") });`,
  );
  const place = openProcess(process.pid, told).place(options());
  await rejectsWith(
    place,
    "AGENT_ENDED",
    new RegExp(
      `--pid ${process.pid} --listen 0 --exit-on-stdin-eof --node-gid 40404 -- \\S+ /agent.js --public-key S0VZ --idle-timeout-ms 30000 --communication-timeout-ms 30000`,
    ),
  );
});
