import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { NAMES, NETWORK } from "@inpod/sandbox";
import { type Run, startCli } from "./exec-support.ts";
import { distWithOlderAgent } from "./own-dist.ts";
import { useServices, useSteps } from "./services-support.ts";

const { sandbox, inventory, server, interrupted } = await useServices();

const { pod, services, blackHole } = NETWORK;
const forward = (...words: string[]): Run => startCli(sandbox, ["forward", ...words]);
const beside = (...words: string[]): Run => forward("-t", `process/${sandbox.pid}`, ...words);

/** The ports that were chosen, in the order in which they were asked for. */
async function ready(run: Run): Promise<number[]> {
  await run.said("until Ctrl-C", "stderr");
  return [...run.stderr.matchAll(/inpod: (?:UDP port )?\S+:(\d+) goes to/g)].map(([, port]) =>
    Number(port),
  );
}

test("local ports go to what the target reaches: by name, by address, TCP and UDP, and to the target's own", async () => {
  const run = beside(
    ...["-L", `0:greetings:80,0:${services.greetings}:${services.udpEchoPort}/udp`],
    ...["-L", `localhost:0:${services.nameServer}:53/udp`],
    ...["-L", `0:${pod.sidecarPort}`, "-L", `0:${pod.httpPort}`],
  );
  const [greetings, echo, dns, sidecar, own] = await ready(run);
  const steps = await useSteps(
    sandbox,
    { do: "http", port: greetings, path: "/a" },
    { do: "http-kept", port: greetings, path: "/a", count: 3 },
    { do: "udp", port: echo, send: "ping" },
    { do: "udp", port: echo, send: "six", family: "udp6" },
    { do: "dns", port: dns, name: NAMES.orders },
    { do: "tcp", port: sidecar, send: "half-closed" },
    { do: "tcp", port: sidecar, host: "::1", send: "by IPv6" },
    { do: "http", port: own, path: "/own" },
    { do: "tcp", port: sidecar, bytes: 3_000_000 },
  );
  assert.equal(steps[0]?.text, `greetings to ${sandbox.podAddress}\n`);
  assert.equal((steps[1] as unknown as unknown[]).length, 3);
  assert.deepEqual(steps[2], { how: "data", text: "ping" });
  assert.deepEqual(steps[3], { how: "data", text: "six" });
  assert.deepEqual(steps[4], { addresses: [sandbox.podAddress] });
  assert.deepEqual(steps[5], { how: "end", text: "half-closed" });
  assert.deepEqual(steps[6], { how: "end", text: "by IPv6" });
  assert.match(steps[7]?.text ?? "", /^I am the pod, you are 127\.0\.0\.1\nGET \/own\n/);
  assert.equal(steps[8]?.text?.length, 3_000_000);
  await interrupted(run);
});

test("what the target cannot connect to is a reset for the client and one line, and another one when it answers", async () => {
  const run = beside(
    ...["-L", `0:greetings:${services.refusedPort}`, "-L", "0:nobody.example:80"],
    ...["-L", `0:${NETWORK.unreachable}:80`, "-L", "0:nobody.example:53/udp", "-L", "0:7123"],
  );
  const [refused, unknown, unreachable, unknownUdp, late] = await ready(run);
  const steps = await useSteps(
    sandbox,
    ...[refused, refused, unknown, unreachable, late].map((port) => ({
      do: "tcp",
      port,
      send: "x",
      ends: false,
    })),
  );
  assert.deepEqual(
    steps.map(({ how }) => how),
    new Array(5).fill("ECONNRESET"),
  );
  await run.said(/greetings:81 refuses \(ECONNREFUSED\)/, "stderr");
  await run.said(/the target does not know nobody\.example:80: .*NXDOMAIN/, "stderr");
  await run.said(/cannot connect to 198\.18\.77\.1:80: EHOSTUNREACH/, "stderr");
  await run.said(/port 7123 of process\/\d+ refuses/, "stderr");
  const listener = sandbox.inPod(
    [
      "node",
      "-e",
      `require("net").createServer((s) => s.pipe(s)).listen(7123, () => console.log("up"))`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  for await (const bytes of listener.stdout ?? []) if (String(bytes).includes("up")) break;
  const [answered] = await useSteps(
    sandbox,
    { do: "tcp", port: late, send: "now" },
    { do: "udp", port: unknownUdp, send: "into nothing", timeoutMs: 10 },
  ).finally(() => listener.kill("SIGKILL"));
  assert.deepEqual(answered, { how: "end", text: "now" });
  await run.said(/port 7123 of process\/\d+ answers now/, "stderr");
  await run.said(/the target does not know nobody\.example:53/, "stderr");
  const { stderr } = await interrupted(run);
  assert.equal(stderr.match(/greetings:81 refuses/g)?.length, 1);
});

test("-R brings the target's ports here, TCP and UDP, beside -L, and the words of kubectl and ktctl are read", async () => {
  const run = forward(
    `process/${sandbox.pid}`,
    `0:${pod.sidecarPort}`,
    ...["-R", `${pod.httpPort}:${server.http}`, "-R", `${pod.udpPort}:${server.udp}/udp`],
  );
  const [sidecar] = await ready(run);
  assert.equal((await sandbox.request({ path: "/r" })).body, "I am here: /r");
  const ask = `const s = require("node:dgram").createSocket("udp4"); s.on("message", (m) => { console.log(String(m)); s.close(); }); s.send("r", ${pod.udpPort}, "${sandbox.podAddress}")`;
  const client = sandbox.inClient([process.execPath, "-e", ask], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  for await (const bytes of client.stdout ?? []) said += bytes;
  assert.equal(said, "here: r\n");
  const [echoed] = await useSteps(sandbox, { do: "tcp", port: sidecar, send: "l" });
  assert.equal(echoed?.text, "l");
  await interrupted(run);

  const nobody = beside("-R", `${pod.httpPort}:1`);
  await nobody.said("until Ctrl-C", "stderr");
  assert.equal((await sandbox.request({ path: "/" })).status, 502);
  await nobody.said(/nobody listens on 127\.0\.0\.1:1: clients of .* get an error/, "stderr");
  await interrupted(nobody);

  const ktctl = forward("-t", `process/${sandbox.pid}`, "greetings", "0:80");
  const [port] = await ready(ktctl);
  const [greeting] = await useSteps(sandbox, { do: "http", port, path: "/" });
  assert.equal(greeting?.status, 200);
  await interrupted(ktctl);
});

test("a client that goes away while the target still connects leaves nothing, and Ctrl-C ends what is open", async () => {
  const run = beside("-L", `0:${blackHole}:80`, "-L", `0:${pod.echoPort}`);
  const [hole, echo] = await ready(run);
  const script = `const net = require("node:net");
    const gone = net.connect(${hole}, "127.0.0.1", () => gone.resetAndDestroy());
    gone.on("close", () => {
      const waits = net.connect(${hole}, "127.0.0.1"); waits.on("error", ({ code }) => console.log("hole", code));
      const open = net.connect(${echo}, "127.0.0.1", () => open.write("x"));
      open.on("data", () => console.log("open")); open.on("error", ({ code }) => console.log("echo", code));
    });`;
  const client = sandbox.inLaptop([process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  for await (const bytes of client.stdout ?? []) {
    said += bytes;
    if (said === "open\n") run.signalGroup("SIGINT");
  }
  assert.deepEqual(said.trim().split("\n").sort(), ["echo ECONNRESET", "hole ECONNRESET", "open"]);
  assert.equal((await run.ended).code, 0);
  await inventory.assertAsBefore();
});

test("when the agent is killed new connections and datagrams go by the next one", async () => {
  const run = beside("-L", `0:greetings:80,0:${services.greetings}:${services.udpEchoPort}/udp`);
  const [greetings, echo] = await ready(run);
  await useSteps(sandbox, { do: "udp", port: echo, send: "before" });
  const agent = (await sandbox.processes()).find(({ command }) => command.includes("inpod-enter"));
  assert.ok(agent);
  process.kill(agent.pid, "SIGKILL");
  await run.said("the connection to the agent is back", "stderr");
  const [http, udp] = await useSteps(
    sandbox,
    { do: "http", port: greetings, path: "/" },
    { do: "udp", port: echo, send: "after" },
  );
  assert.deepEqual([http?.status, udp?.text], [200, "after"]);
  await interrupted(run);
});

test("an agent that is too old for UDP ports is named as the reason, with what to do; its other ways stay", async (t) => {
  const folder = distWithOlderAgent("udp-ports");
  t.after(() => rmSync(folder, { recursive: true }));
  const cli = join(folder, "cli.js");
  const older = (...words: string[]): Run =>
    startCli(sandbox, ["forward", "-t", `process/${sandbox.pid}`, ...words], { cli });
  const refused = await older("-R", `${pod.udpPort}:${server.udp}/udp`).ended;
  assert.equal(refused.code, 3, refused.stderr);
  assert.match(refused.stderr, /error: UDP port \d+ of process\/\d+ cannot be taken\n/);
  assert.match(refused.stderr, /because: .*this agent is too old for UDP ports\n/);
  assert.match(refused.stderr, /hint: its image is of an older inpod.*--agent-image/);
  await inventory.assertAsBefore();
  const run = older("-L", `0:${services.greetings}:${services.udpEchoPort}/udp`);
  const [echo] = await ready(run);
  const [step] = await useSteps(sandbox, { do: "udp", port: echo, send: "ping" });
  assert.equal(step?.text, "ping");
  await interrupted(run);
});

test("a port of this machine that is in use is told before anything is made, whatever else is wrong", async () => {
  for (const [words, what] of [
    [["-L", `${server.http}:greetings:80`], `port ${server.http} of this machine is in use`],
    [
      ["-L", `0:greetings:80,${server.udp}:dns:53/udp`],
      `UDP port ${server.udp} of this machine is in use`,
    ],
    [["-L", "203.0.113.9:0:greetings:80"], "this machine has no address 203.0.113.9"],
  ] as const) {
    const { code, stderr } = await forward("-t", "pod/nobody-asks", ...words).ended;
    assert.equal(code, 6, stderr);
    assert.ok(stderr.startsWith(`error: ${what}`), stderr);
  }
});
