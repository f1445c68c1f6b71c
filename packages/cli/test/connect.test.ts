import assert from "node:assert/strict";
import { test } from "node:test";
import { NAMES, NETWORK } from "@inpod/sandbox";
import { type Run, startCli } from "./exec-support.ts";
import { useServices, useSteps } from "./services-support.ts";

const { sandbox, inventory, interrupted } = await useServices();

const { pod, services } = NETWORK;
const connect = (...words: string[]): Run =>
  startCli(sandbox, ["connect", "-t", `process/${sandbox.pid}`, ...words]);

async function proxy(...words: string[]): Promise<{ run: Run; port: number }> {
  const run = connect("--mode", "proxy", ...words);
  await run.said("until Ctrl-C", "stderr");
  const [, port] = /listens on \S+?:(\d+)\n/.exec(run.stderr) ?? [];
  return { run, port: Number(port) };
}

const greetings = { host: "greetings", port: 80 };
const get = (host: string): string =>
  `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;

test("SOCKS5: names of the cluster, addresses, the target's loopback, half-closes, bulk and datagrams", async () => {
  const { run, port } = await proxy("--port", "0");
  const sidecar = { host: "localhost", port: pod.sidecarPort };
  const dns = { host: services.nameServer, port: 53 };
  const question = Buffer.concat([
    Buffer.from([0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...NAMES.orders.split(".").map((label) => Buffer.from([label.length, ...Buffer.from(label)])),
    Buffer.from([0, 0, 1, 0, 1]),
  ]);
  const steps = await useSteps(
    sandbox,
    { do: "socks", port, to: greetings, send: get("greetings") },
    { do: "socks", port, to: greetings, send: get("greetings"), split: true },
    { do: "socks", port, to: { host: services.greetings, port: 80 }, send: get("x") },
    { do: "socks", port, to: sidecar, send: "half-closed" },
    { do: "socks", port, to: sidecar, bytes: 3_000_000 },
    { do: "socks-udp", port, to: { host: "greetings", port: services.udpEchoPort }, send: "ping" },
    { do: "socks-udp", port, to: dns, send: question.toString("latin1") },
    { do: "socks", port, to: { host: "greetings", port: services.refusedPort } },
    { do: "socks", port, to: { host: "nobody.example", port: 80 } },
    { do: "socks", port, to: { host: NETWORK.unreachable, port: 80 } },
    { do: "socks-command", port, command: 2, to: greetings },
    { do: "raw", port, send: "\x05\x01\x02" },
    { do: "raw", port, send: "\x04\x01\x00\x50\x0a\x00\x00\x07\x00" },
  );
  for (const step of steps.slice(0, 3))
    assert.match(
      step.text ?? "",
      new RegExp(`greetings to ${sandbox.podAddress.replaceAll(".", "\\.")}\n`),
    );
  assert.deepEqual(steps[3], { reply: 0, how: "end", text: "half-closed" });
  assert.equal(steps[4]?.text?.length, 3_000_000);
  const echo = `${services.greetings}:${services.udpEchoPort}`;
  assert.deepEqual(steps[5], { reply: 0, how: "data", from: echo, text: "ping" });
  assert.equal(steps[6]?.from, `${services.nameServer}:53`);
  assert.deepEqual([steps[7]?.reply, steps[7]?.how], [5, "end"]);
  assert.deepEqual([steps[8]?.reply, steps[9]?.reply, steps[10]?.reply], [4, 4, 7]);
  assert.equal(steps[11]?.text, "\x05\xff");
  assert.equal(steps[12]?.text, "\0[\0\0\0\0\0\0");
  await run.said("greetings:81 refuses (ECONNREFUSED)", "stderr");
  await run.said(/the target does not know nobody\.example:80: .*NXDOMAIN/, "stderr");
  await interrupted(run);
});

test("HTTP: CONNECT, and requests in absolute form over connections that are kept", async () => {
  const { run, port } = await proxy("--port", "0");
  const url = "http://greetings/a?b";
  const steps = await useSteps(
    sandbox,
    { do: "http-kept", port, url, count: 3, headers: { host: "greetings" } },
    {
      do: "http",
      port,
      url: `http://localhost:${pod.httpPort}/own`,
      method: "POST",
      body: "x".repeat(9),
    },
    { do: "http", port, url: `http://localhost:${pod.httpPort}/own`, method: "HEAD" },
    { do: "http", port, url: `http://greetings:${services.refusedPort}/` },
    { do: "http", port, url: "http://nobody.example/" },
    { do: "http", port, path: "/" },
    { do: "http", port, url: "https://greetings/" },
    { do: "connect", port, to: "greetings:80", send: get("greetings") },
    { do: "connect", port, to: `localhost:${pod.sidecarPort}`, send: "half-closed" },
    { do: "connect", port, to: `greetings:${services.refusedPort}` },
    { do: "connect", port, to: "nobody.example:80" },
    { do: "connect", port, to: "greetings" },
    { do: "raw", port, send: "what is this\r\n\r\n" },
    {
      do: "raw",
      port,
      send: `GET http://greetings/ HTTP/1.1\r\nHost: a\r\nX: ${"x".repeat(70_000)}\r\n\r\n`,
    },
    {
      do: "raw",
      port,
      send: "GET http://localhost:9999/ws HTTP/1.1\r\nHost: localhost:9999\r\nConnection: Upgrade\r\nUpgrade: echo\r\nProxy-Authorization: c4n4ry\r\n\r\nand on",
    },
  );
  for (const each of steps[0] as unknown as typeof steps)
    assert.deepEqual([each.status, each.text], [200, `greetings to ${sandbox.podAddress}\n`]);
  assert.deepEqual(
    [steps[1]?.status, steps[1]?.text],
    [200, "I am the pod, you are 127.0.0.1\nPOST /own\n"],
  );
  assert.deepEqual([steps[2]?.status, steps[2]?.text], [200, ""]);
  assert.deepEqual([steps[3]?.status, steps[4]?.status], [502, 502]);
  assert.match(steps[3]?.text ?? "", /cannot connect to greetings port 81: ECONNREFUSED/);
  assert.match(steps[4]?.text ?? "", /does not know nobody\.example/);
  assert.deepEqual([steps[5]?.status, steps[6]?.status], [400, 501]);
  assert.match(
    steps[7]?.text ?? "",
    /^HTTP\/1\.1 200 Connection established\r\n\r\nHTTP\/1\.1 200 OK[\s\S]*greetings to/,
  );
  assert.equal(steps[8]?.text, "HTTP/1.1 200 Connection established\r\n\r\nhalf-closed");
  assert.match(steps[9]?.text ?? "", /^HTTP\/1\.1 502 .*\r\n[\s\S]*ECONNREFUSED/);
  assert.match(steps[10]?.text ?? "", /^HTTP\/1\.1 502 /);
  assert.match(steps[11]?.text ?? "", /^HTTP\/1\.1 400 /);
  assert.match(steps[12]?.text ?? "", /^HTTP\/1\.1 400 /);
  assert.match(steps[13]?.text ?? "", /^HTTP\/1\.1 431 /);
  assert.equal(
    steps[14]?.text,
    "GET /ws HTTP/1.1\r\nHost: localhost:9999\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nand on",
  );
  await interrupted(run);
});

test("the agent is killed: what was open is reset, and the proxy goes on with the next one", async () => {
  const { run, port } = await proxy("--port", "0", "-v");
  const url = "http://greetings/";
  assert.equal((await useSteps(sandbox, { do: "http", port, url }))[0]?.status, 200);
  const agent = (await sandbox.processes()).find(({ command }) => command.includes("inpod-enter"));
  assert.ok(agent);
  process.kill(agent.pid, "SIGKILL");
  await run.said("the connection to the agent is back", "stderr");
  const steps = await useSteps(
    sandbox,
    { do: "http", port, url },
    { do: "socks", port, to: greetings, send: get("greetings") },
  );
  assert.equal(steps[0]?.status, 200);
  assert.match(steps[1]?.text ?? "", /greetings to/);
  await interrupted(run);
});

test("the usual port gives way, one that was said does not; --format prints the variables once it works", async () => {
  const first = await proxy("--format", "json");
  assert.equal(first.port, 1080);
  assert.equal(JSON.parse(first.run.stdout).ALL_PROXY, "socks5h://127.0.0.1:1080");
  const second = await proxy("--format", "shell");
  assert.notEqual(second.port, 1080);
  assert.match(
    second.run.stdout,
    new RegExp(`^export .*http_proxy='http://127\\.0\\.0\\.1:${second.port}'`),
  );
  const third = connect("--port", "1080");
  const { code, stderr } = await third.ended;
  assert.equal(code, 6);
  assert.match(stderr, /^error: port 1080 of this machine is in use\n/);
  for (const { run } of [first, second]) {
    run.signalGroup("SIGTERM");
    assert.equal((await run.ended).code, 0);
  }
  await inventory.assertAsBefore();
});

test("a command is in the target's network with all that it starts, and nothing else of it is", async () => {
  const script = `
    const { execFileSync } = require("node:child_process");
    const own = require("node:http").createServer((q, r) => r.end()).listen(0, () => {
      require("node:http").get("http://greetings/", (r) => r.on("data", (d) => {
        console.log(String(d).trim());
        console.log(require("node:os").hostname() === process.argv[1], process.env.GREETING ?? "none");
        console.log(require("node:fs").existsSync("/app/settings.json"), process.env.OWN);
        console.log(execFileSync(process.execPath, ["-e", 'require("dns").lookup("orders", (e, a) => console.log(a))'], { encoding: "utf8" }).trim());
        process.exit(7);
      }));
    });`;
  const { hostname } = await import("node:os");
  const run = startCli(
    sandbox,
    [
      ...["connect", "-t", `process/${sandbox.pid}`, "--"],
      ...[process.execPath, "-e", script, hostname()],
    ],
    { env: { ...process.env, OWN: "mine" } },
  );
  const { code, stdout, stderr } = await run.ended;
  assert.equal(
    stdout,
    `greetings to ${sandbox.podAddress}\ntrue none\nfalse mine\n${sandbox.podAddress}\n`,
    stderr,
  );
  assert.equal(code, 7);
  await inventory.assertAsBefore();
});
