import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK, startSandbox } from "@inpod/sandbox";
import { isStopped, podAnswers, podAnswersNow, until } from "./exec-support.ts";
import { http2Request, startMode, startServer, useServices } from "./services-support.ts";

const { sandbox, inventory, server, interrupted } = await useServices();

const { httpPort, echoPort, udpPort } = NETWORK.pod;

/** In the client: what comes back of each of many connections whose client says all that it has to say at once, and its count. */
async function answersOf(
  port: number,
  words: string,
  count: number,
): Promise<Record<string, number>> {
  const script = `
    const { connect } = require("node:net"), answers = {};
    const one = () => new Promise((done) => {
      let answer = "";
      connect({ host: "${sandbox.podAddress}", port: ${port}, allowHalfOpen: true }, function () { this.end(${JSON.stringify(words)}); })
        .setEncoding("latin1").on("data", (text) => (answer += text))
        .on("end", () => done(answer.split("\\r\\n")[0])).on("error", (error) => done(error.code));
    });
    (async () => {
      for (let i = 0; i < ${count}; i++) { const answer = await one(); answers[answer] = (answers[answer] ?? 0) + 1; }
      console.log(JSON.stringify(answers));
    })()`;
  const client = sandbox.inClient([process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  for await (const bytes of client.stdout ?? []) text += bytes;
  return JSON.parse(text) as Record<string, number>;
}

test("HTTP, raw TCP and UDP of the target come to ports of this machine until Ctrl-C, and that is code 0", async () => {
  const run = startMode(sandbox, "exchange", [
    "--expose",
    `${server.http}:${httpPort},${server.echo}:${echoPort}`,
    `--expose=${server.udp}:${udpPort}/udp`,
  ]);
  await run.said("until Ctrl-C", "stderr");
  const ports = new Set<number>();
  for (let i = 0; i < 3; i++) {
    const { body, local } = await sandbox.request({ connection: "kept", path: "/orders" });
    assert.equal(body, "I am here: /orders");
    ports.add(local.port);
  }
  assert.equal(ports.size, 1, "one connection of the client is one of ours");

  const half = await sandbox.connect({ port: echoPort });
  await half.send("hello");
  await half.end();
  assert.equal(await half.receive(), "hello");
  // An end may come before the connection to this machine's port stands.
  assert.deepEqual(await answersOf(echoPort, "whole", 200), { whole: 200 });
  await server.run.said("end\nclose false");
  const cut = await sandbox.connect({ port: echoPort });
  await cut.send("world");
  assert.equal(await cut.receive(5), "world");
  await cut.close(true);
  await server.run.said("close true");

  const ask = `const s = require("node:dgram").createSocket("udp4"); s.on("message", (m) => { console.log(String(m)); s.close(); }); s.send("ping", ${udpPort}, "${sandbox.podAddress}")`;
  const client = sandbox.inClient([process.execPath, "-e", ask], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  for await (const bytes of client.stdout ?? []) said += bytes;
  assert.equal(said, "here: ping\n");
  await interrupted(run);
});

test("SIGTERM and SIGHUP end it as Ctrl-C does, and the alias is the same command", async () => {
  for (const signal of ["SIGTERM", "SIGHUP"] as const) {
    const run = startMode(sandbox, "intercept", ["--expose", `${server.http}:${httpPort}`]);
    await run.said("until Ctrl-C", "stderr");
    run.child.kill(signal);
    assert.equal((await run.ended).code, 0);
    await inventory.assertAsBefore();
  }
});

test("what is under way at Ctrl-C is answered before the session ends", async () => {
  const run = startMode(sandbox, "exchange", [
    ...["--expose", `${server.http}:${httpPort},${server.echo}:${echoPort}`],
  ]);
  await run.said("until Ctrl-C", "stderr");
  const slow = sandbox.request({ path: "/slow", headers: { "x-wait-ms": "300" } });
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("first");
  assert.equal(await raw.receive(5), "first");
  await server.run.said("request GET /slow");
  run.signalGroup("SIGINT");
  await raw.send("second");
  await raw.end();
  assert.equal(await raw.receive(), "second");
  assert.equal((await slow).body, "I am here: /slow");
  assert.equal((await run.ended).code, 0);
  assert.ok(await podAnswers(sandbox));
  await inventory.assertAsBefore();
});

test("while it is stopped by Ctrl-Z the target answers", async () => {
  const run = startMode(sandbox, "exchange", ["--expose", `${server.http}:${httpPort}`]);
  await run.said("until Ctrl-C", "stderr");
  process.kill(run.pid, "SIGTSTP");
  await until("it is stopped", () => isStopped(run.pid));
  assert.ok(await podAnswers(sandbox));
  run.signalGroup("SIGCONT");
  await until("the developer answers again", async () => !(await podAnswersNow(sandbox)));
  await interrupted(run);
});

test("where nobody listens the client gets an error at once in its own protocol, the developer one line, and a server that comes later is simply used", async () => {
  const own = await startServer(sandbox);
  await own.stop();
  const run = startMode(sandbox, "exchange", [
    "--expose",
    `${own.http}:${httpPort},${own.echo}:${echoPort}`,
  ]);
  await run.said("until Ctrl-C", "stderr");
  const words = /this request was brought to the machine of \S+, where nobody listens on port/;
  for (let i = 0; i < 2; i++) {
    const { status, body, headers } = await sandbox.request({ connection: "kept" });
    assert.equal(status, 502);
    assert.match(body, words);
    assert.equal(headers.connection, "close");
  }
  assert.deepEqual(await answersOf(httpPort, "GET / HTTP/1.0\r\n\r\n", 20), {
    "HTTP/1.1 502 Bad Gateway": 20,
  });
  const large = await sandbox.request({ method: "POST", body: "y".repeat(3 * 1024 * 1024) });
  assert.equal(large.status, 502);
  const { headers, body } = await http2Request(sandbox, { "content-type": "text/plain" });
  assert.equal(headers[":status"], 502);
  assert.match(body, words);
  const grpc = await http2Request(sandbox, { "content-type": "application/grpc+proto" });
  assert.equal(grpc.headers["grpc-status"], "14");
  assert.match(decodeURIComponent(String(grpc.headers["grpc-message"])), words);
  for (const first of ["not HTTP\n", undefined]) {
    const raw = await sandbox.connect({ port: echoPort });
    // It may be known before anything is sent.
    const talks = async (): Promise<string> => {
      if (first !== undefined) await raw.send(first);
      return raw.receive();
    };
    await assert.rejects(talks, /ECONNRESET/);
  }
  assert.equal(run.stderr.split(`nobody listens on 127.0.0.1:${own.http}`).length, 2, run.stderr);

  const later = await startServer(sandbox, own);
  assert.equal((await sandbox.request({ connection: "kept" })).body, "I am here: /");
  await run.said(`127.0.0.1:${own.http} listens now`, "stderr");
  await later.stop();
  assert.equal((await sandbox.request({})).status, 502);
  assert.equal(run.stderr.split(`nobody listens on 127.0.0.1:${own.http}`).length, 3);
  await interrupted(run);
});

test("when the target and the agent are gone for good it ends with code 5 and says why", async (t) => {
  const own = await startSandbox();
  t.after(() => own.stop());
  const run = startMode(own, "exchange", ["--expose", `${server.http}:${httpPort}`]);
  await run.said("until Ctrl-C", "stderr");
  const enter = (await own.processes()).find(({ command }) => command.includes("inpod-enter"));
  assert.ok(enter);
  process.kill(own.pid, "SIGKILL");
  await run.said("the target does not run", "stderr");
  process.kill(enter.pid, "SIGKILL");
  const { code, stderr } = await run.ended;
  assert.equal(code, 5, stderr);
  assert.match(stderr, /error: the session was lost: no process/);
});
