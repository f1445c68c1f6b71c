import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { isStopped, podAnswers, type Run, startInpod, until, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { address: client } = NETWORK.client;
const { httpPort } = NETWORK.pod;
const COPIED = `what clients send to port ${httpPort} of the target is copied to your process`;

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  await run.ended;
  await inventory.assertAsBefore(folder);
}

const script = async (name: string, source: string): Promise<string[]> => {
  const path = join(folder, name);
  await writeFile(path, source);
  return ["node", path];
};

const HTTP = `
import http from "node:http";
import { createHash } from "node:crypto";
const server = http.createServer((request, response) => {
  const hash = createHash("sha256");
  request.on("data", (bytes) => hash.update(bytes));
  request.on("end", () => {
    console.log(request.method, request.url, hash.digest("hex"), request.socket.remoteAddress.replace("::ffff:", ""));
    response.statusCode = 500;
    response.end("from the program");
  });
});
server.listen(${httpPort}, () => console.log("listening"));
`;

const TCP = `
import net from "node:net";
net.createServer({ allowHalfOpen: true }, (socket) => {
  socket.on("error", (error) => console.log("error", error.code));
  socket.on("data", (bytes) => console.log("data", String(bytes)));
  socket.on("end", () => { console.log("end"); socket.end("answer"); });
  socket.on("close", () => console.log("close"));
}).listen(${httpPort}, () => console.log("listening"));
`;

const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

test("without --steal the pod answers, and the program gets the same requests, bodies and the client's address", async () => {
  const { createHash } = await import("node:crypto");
  const run = await startInpod(sandbox, await script("http.mjs", HTTP));
  await run.said("listening");
  await run.said(COPIED, "stderr");
  assert.equal(await sandbox.ruleset(), "");
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, each) => sandbox.request({ path: `/number/${each}` })),
  );
  for (const { status, body } of answers) {
    assert.equal(status, 200);
    assert.match(body, /^I am the pod/);
  }
  for (let each = 0; each < 20; each++) await run.said(`GET /number/${each} ${EMPTY} ${client}\n`);
  const body = "y".repeat(8 * 1024 * 1024);
  for (const connection of ["kept", "kept"]) {
    const { body: answer } = await sandbox.request({
      ...{ method: "POST", path: "/large", body, connection },
      timeoutMs: 20_000,
    });
    assert.match(answer, /^I am the pod/);
  }
  const hash = createHash("sha256").update(body).digest("hex");
  await run.said(new RegExp(`(POST /large ${hash} ${client}\n.*){2}`, "s"));
  assert.doesNotMatch(run.stderr, /lost|missed|mirrored no further/);
  await interrupted(run);
});

test("half-close and reset of a client reach the program, and what it answers reaches nobody", async () => {
  const run = await startInpod(sandbox, await script("tcp.mjs", TCP));
  await run.said("listening");
  await run.said(COPIED, "stderr");
  const half = await sandbox.connect({ port: httpPort });
  await half.send("GET / HTTP/1.0\r\n\r\n");
  assert.match(await half.receive(4), /^HTTP$/);
  await half.end();
  await run.said(/data GET \/ HTTP\/1.0\s+end\nclose\n/);
  const cut = await sandbox.connect({ port: httpPort });
  await cut.send("GET /cut HTTP/1.1\r\n");
  await run.said("GET /cut");
  await cut.close(true);
  await run.said("error ECONNRESET\nclose\n");
  await interrupted(run);
});

test("a connection from before is told in one line, TLS in another, and nothing of either reaches the program", async () => {
  const { body } = await sandbox.request({ connection: "old" });
  assert.match(body, /^I am the pod/);
  const run = await startInpod(sandbox, await script("tcp.mjs", TCP));
  await run.said("listening");
  await run.said(COPIED, "stderr");
  assert.ok((await sandbox.request({ connection: "old" })).isReused);
  await run.said("1 connection from before not mirrored until made anew", "stderr");
  const tls = await sandbox.connect({ port: httpPort });
  await tls.send("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
  await run.said("1 connection with TLS not mirrored", "stderr");
  await tls.close(true);
  assert.ok(await podAnswers(sandbox));
  await run.said("data GET");
  assert.doesNotMatch(run.stdout, /old/);
  await interrupted(run);
});

test("a program that is stopped gets no copies, and one that goes on does", async () => {
  const run = await startInpod(sandbox, await script("http.mjs", HTTP));
  await run.said("listening");
  await run.said(COPIED, "stderr");
  run.signalGroup("SIGTSTP");
  await until("the program is stopped", () => isStopped(run.pid));
  assert.match((await sandbox.request({ path: "/while-stopped" })).body, /^I am the pod/);
  run.signalGroup("SIGCONT");
  await until("copies come again", async () => {
    await sandbox.request({ path: "/again" });
    return run.stdout.includes("GET /again");
  });
  assert.doesNotMatch(run.stdout, /while-stopped/);
  await interrupted(run);
});

test("when the command line is killed nothing is left, and the pod answers all the time", async () => {
  const run = await startInpod(sandbox, await script("http.mjs", HTTP));
  await run.said("listening");
  await run.said(COPIED, "stderr");
  await sandbox.request({ path: "/one" });
  await run.said("GET /one");
  process.kill(run.pid, "SIGKILL");
  assert.ok(await podAnswers(sandbox));
  await run.ended;
  await inventory.assertAsBefore(folder);
});

test('with "off" nothing comes in, and nothing is captured', async () => {
  const run = await startInpod(sandbox, await script("http.mjs", HTTP), {
    config: { feature: { network: { incoming: "off" } } },
  });
  await run.said("listening");
  assert.ok(await podAnswers(sandbox));
  assert.doesNotMatch(run.stderr, /copied|port/);
  assert.doesNotMatch(run.stdout, /GET/);
  await interrupted(run);
});
