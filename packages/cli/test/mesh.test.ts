/** mesh and mirror beside the sandbox's pod; several developers need an agent that is shared: e2e/mesh.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { http2Request, startMode, startServer, useServices } from "./services-support.ts";

const { sandbox, server, interrupted } = await useServices();

const { httpPort, echoPort, udpPort } = NETWORK.pod;

test("marked requests come here and all others go to the pod, on one connection too; the line that is printed has the mark", async () => {
  const run = startMode(sandbox, "mesh", [
    "--expose",
    `${server.http}:${httpPort},${server.http}:${echoPort}`,
  ]);
  await run.said("until Ctrl-C", "stderr");
  const [, name = "", value = "", url = ""] =
    /try it in the cluster: curl -H '?(\S+): ([^' ]+)'? (\S+)/.exec(run.stderr) ?? [];
  assert.equal(name, "VERSION");
  assert.equal(url, `http://${sandbox.podAddress}:${httpPort}/`);
  assert.match(run.stderr, /each must copy VERSION from a request to those that it makes for it/);
  const headers = { [name]: value };
  const ask = (marked: boolean) =>
    sandbox.request({ connection: "kept", ...(marked ? { headers } : {}) });
  const ports = new Set<number>();
  for (const marked of [true, false, true, false]) {
    const { body, local } = await ask(marked);
    if (marked) assert.equal(body, `I am here: / ${value}`);
    else assert.match(body, /^I am the pod/);
    ports.add(local.port);
  }
  assert.equal(ports.size, 1);
  const other = await sandbox.request({ headers: { version: `${value}x` } });
  assert.match(other.body, /^I am the pod/);
  const h2 = await http2Request(sandbox, { version: value });
  assert.equal(h2.headers[":status"], 200);
  assert.equal(h2.body, `I am here: /orders ${value}`);
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("not HTTP");
  assert.equal(await raw.receive(8), "not HTTP");
  await raw.close();
  assert.ok(!server.run.stdout.includes("data not HTTP"));
  await interrupted(run);
});

test("where nobody listens marked requests get 502 and the others their answers", async () => {
  const own = await startServer(sandbox);
  await own.stop();
  const run = startMode(sandbox, "mesh", [
    ...["--expose", `${own.http}:${httpPort}`],
    ...["--header", "x-mark=me", "--path-prefix", "/orders"],
  ]);
  await run.said("until Ctrl-C", "stderr");
  const headers = { "x-mark": "me" };
  for (let i = 0; i < 2; i++) {
    const marked = await sandbox.request({ connection: "kept", path: "/orders/1", headers });
    assert.equal(marked.status, 502);
  }
  assert.match((await sandbox.request({ path: "/orders/1" })).body, /^I am the pod/);
  assert.match((await sandbox.request({ path: "/", headers })).body, /^I am the pod/);
  assert.equal((await http2Request(sandbox, headers)).headers[":status"], 502);
  const later = await startServer(sandbox, own);
  const { body } = await sandbox.request({ connection: "kept", path: "/orders/1", headers });
  assert.equal(body, "I am here: /orders/1  me");
  await later.stop();
  await interrupted(run);
});

test("mirror copies what clients send and the pod answers, TCP and UDP; of marked requests only those", async () => {
  const run = startMode(sandbox, "mirror", [
    ...["--expose", `${server.http}:${httpPort},${server.echo}:${echoPort}`],
    ...["--expose", `${server.udp}:${udpPort}/udp`],
  ]);
  await run.said("until Ctrl-C", "stderr");
  assert.match((await sandbox.request({ path: "/copied" })).body, /^I am the pod/);
  await server.run.said("request GET /copied");
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("copied bytes");
  assert.equal(await raw.receive(12), "copied bytes");
  await server.run.said("data copied bytes");
  await raw.close();
  await interrupted(run);

  const some = startMode(sandbox, "wiretap", [
    ...["--expose", `${server.http}:${httpPort}`, "--http-header", "x-mark=me"],
  ]);
  await some.said("until Ctrl-C", "stderr");
  assert.match((await sandbox.request({ path: "/unmarked" })).body, /^I am the pod/);
  const headers = { "x-mark": "me" };
  assert.match((await sandbox.request({ path: "/marked", headers })).body, /^I am the pod/);
  await server.run.said("request GET /marked");
  assert.ok(!server.run.stdout.includes("/unmarked"));
  await interrupted(some);
});
