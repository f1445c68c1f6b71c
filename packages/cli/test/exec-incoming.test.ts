import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import {
  podAnswers,
  podAnswersNow,
  type Run,
  startInpod,
  until,
  useSandbox,
} from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { httpPort } = NETWORK.pod;
const STEAL = { flags: ["--steal"] };
const TAKEN = `connections to port ${httpPort} of the target now arrive`;

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

const script = async (name: string, source: string): Promise<string> => {
  const path = join(folder, name);
  await writeFile(path, source);
  await chmod(path, 0o755);
  return path;
};

const ECHO = `
import net from "node:net";
const server = net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", () => {});
  socket.on("end", () => console.log("end"));
  socket.on("close", (hadError) => console.log("close", hadError));
  socket.pipe(socket);
});
server.listen(${httpPort}, () => console.log("listening", process.pid));
`;

test("requests on a kept connection, half-close, resets and large bodies arrive as sent", async () => {
  const http = `
    import http from "node:http";
    http.createServer((request, response) => {
      let length = 0;
      request.on("data", (bytes) => { length += bytes.length; });
      request.on("end", () => {
        const wanted = Number(new URL(request.url, "http://x").searchParams.get("bytes") ?? 0);
        response.setHeader("x-length", String(length));
        response.end("x".repeat(wanted));
      });
    }).listen(${httpPort}, () => console.log("listening"));`;
  const run = await startInpod(sandbox, ["node", await script("http.mjs", http)], STEAL);
  await run.said("listening");
  const ports = new Set<number>();
  for (let i = 0; i < 5; i++) {
    const { local, isReused } = await sandbox.request({ connection: "kept" });
    ports.add(local.port);
    assert.equal(isReused, i > 0);
  }
  assert.equal(ports.size, 1);
  const body = "y".repeat(3 * 1024 * 1024);
  const large = await sandbox.request({
    method: "POST",
    path: `/?bytes=${5 * 1024 * 1024}`,
    body,
    timeoutMs: 20_000,
  });
  assert.equal(large.headers["x-length"], String(body.length));
  assert.equal(large.body.length, 5 * 1024 * 1024);
  await interrupted(run);
});

test("half-close and reset of a client reach the program", async () => {
  const run = await startInpod(sandbox, ["node", await script("echo.mjs", ECHO)], STEAL);
  await run.said("listening");
  const half = await sandbox.connect({ port: httpPort });
  await half.send("hello");
  await half.end();
  assert.equal(await half.receive(), "hello");
  await run.said("end\nclose false");
  const cut = await sandbox.connect({ port: httpPort });
  await cut.send("hello");
  assert.equal(await cut.receive(5), "hello");
  await cut.close(true);
  await run.said("close true");
  await interrupted(run);
});

const HELLO = `
import http from "node:http";
http.createServer((_, response) => response.end("here")).listen(${httpPort}, () => console.log("listening"));
`;

test("a connection that the pod answers already is ended when it is idle, and its client comes here", async () => {
  const before = await sandbox.request({ connection: "old" });
  assert.match(before.body, /^I am the pod/);
  const run = await startInpod(sandbox, ["node", await script("hello.mjs", HELLO)], STEAL);
  await run.said("listening");
  // Between two requests it may be ended under the second.
  const ask = () => sandbox.request({ connection: "old" }).catch(() => before);
  await until("the client has come again", async () => (await ask()).body === "here");
  await interrupted(run);
  assert.ok(await podAnswers(sandbox));
});

test("with agent.flush_connections: false such a connection stays the pod's", async () => {
  const before = await sandbox.request({ connection: "kept by the pod" });
  assert.match(before.body, /^I am the pod/);
  const run = await startInpod(sandbox, ["node", await script("hello.mjs", HELLO)], {
    ...STEAL,
    config: { agent: { flush_connections: false } },
  });
  await run.said("listening");
  assert.equal((await sandbox.request({})).body, "here");
  const during = await sandbox.request({ connection: "kept by the pod" });
  assert.match(during.body, /^I am the pod/);
  assert.ok(during.isReused);
  await interrupted(run);
});

test("a server in the background of a shell is part of the session until it ends", async () => {
  const path = await script("echo.mjs", ECHO);
  const run = await startInpod(sandbox, ["sh", "-c", `node ${path} & wait`], STEAL);
  await run.said("listening");
  assert.equal(await podAnswers(sandbox).catch(() => false), false);
  await interrupted(run);

  const left = await startInpod(sandbox, ["sh", "-c", `node ${path} & exit 3`], STEAL);
  await left.said("listening");
  await left.said("what it started goes on in the session", "stderr");
  const connection = await sandbox.connect({ port: httpPort });
  await connection.send("still here");
  assert.equal(await connection.receive(10), "still here");
  left.signalGroup("SIGINT");
  assert.equal((await left.ended).code, 3);
  await inventory.assertAsBefore(folder);
});

test("a port is taken when the program listens and given back when the program is stopped", async () => {
  const run = await startInpod(sandbox, ["node", await script("echo.mjs", ECHO)], STEAL);
  await run.said("listening");
  await run.said(TAKEN, "stderr");
  run.signalGroup("SIGTSTP");
  await until("the pod answers while the program is stopped", () => podAnswersNow(sandbox));
  // Whoever knows of the program only continues inpod, too.
  process.kill(Number(/listening (\d+)/.exec(run.stdout)?.[1]), "SIGCONT");
  await until("the program answers again", async () => !(await podAnswersNow(sandbox)));
  const connection = await sandbox.connect({ port: httpPort });
  await connection.send("back");
  assert.equal(await connection.receive(4), "back");
  await interrupted(run);
});
