/** mesh of a port whose clients speak TLS: what the local port gets, whether it speaks TLS or not. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { makeCertificate, NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import { endRuns, Inventory, Run } from "./exec-support.ts";
import { startMode } from "./services-support.ts";

const PORT = 8443;
const HOST = "orders.test";
const root = makeCertificate({ names: ["root.test"] });
const ofPod = makeCertificate({ names: [HOST], issuer: root });
const own = makeCertificate({ names: ["localhost"] });

let sandbox: Sandbox;
let inventory: Inventory;
let folder: string;
let server: ChildProcess;

/** Written for `node -e`: HTTPS, HTTP/2 and HTTP/1, that says its name and what it sees. */
const SERVER = `
const [, name, port, isTls] = process.argv;
const answer = (q, a) => a.end([name, q.httpVersion, q.socket.servername || (q.socket.encrypted ? "" : "plain"), q.url].join(" "));
const server = isTls === "tls"
  ? require("http2").createSecureServer({ cert: process.env.CERT, key: process.env.KEY, allowHTTP1: true }, answer)
  : require("http").createServer(answer).on("clientError", (_, socket) => {
      console.log("nonsense");
      if (isTls === "silent") socket.destroy(); else socket.end("HTTP/1.1 400 Bad Request\\r\\n\\r\\n");
    });
server.listen(Number(port), "127.0.0.1", () => console.log("listens " + server.address().port));`;

/** In the client's network, each on a connection of its own: what comes back, or the error's code. */
const CLIENT = `
const [, host, root, ...asks] = process.argv;
const http2 = require("http2"), https = require("https");
const tls = { servername: "${HOST}", ca: root };
const ways = {
  h1: (user) => new Promise((done) => https.get({ host, port: ${PORT}, path: "/" + user, agent: false, headers: { "x-user": user }, ...tls },
    (r) => { let body = ""; r.on("data", (t) => (body += t)).on("end", () => done(r.statusCode + " " + body)).on("error", (e) => done(e.code)); }).on("error", (e) => done(e.code))),
  h2: (user) => new Promise((done) => {
    const session = http2.connect("https://" + host + ":${PORT}", tls).on("error", (e) => done(e.code));
    const stream = session.request({ ":path": "/" + user, "x-user": user });
    let body = "", status = 0;
    stream.on("response", (h) => (status = h[":status"])).on("data", (t) => (body += t)).on("error", (e) => done(e.code));
    stream.on("close", () => { done(status + " " + body); session.close(); });
  }),
};
(async () => { const all = []; for (const ask of asks) { const [way, user] = ask.split(":"); all.push(await ways[way](user)); } console.log(JSON.stringify(all)); })();`;

before(async () => {
  sandbox = await startSandbox();
  folder = mkdtempSync(join(tmpdir(), "inpod-mesh-tls-"));
  for (const [name, text] of Object.entries({ root: root.cert, cert: ofPod.cert, key: ofPod.key }))
    writeFileSync(join(folder, `${name}.pem`), text);
  const listening = SERVER.replace('"127.0.0.1"', '"0.0.0.0"');
  server = sandbox.inPod([process.execPath, "-e", listening, "--", "pod", `${PORT}`, "tls"], {
    env: { CERT: ofPod.cert, KEY: ofPod.key },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(server.stdout as NodeJS.ReadableStream, "data");
  inventory = await Inventory.of(sandbox);
});
after(async () => {
  server?.kill("SIGKILL");
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(endRuns);

async function ask(...asks: string[]): Promise<string[]> {
  const argv = [process.execPath, "-e", CLIENT, "--", NETWORK.pod.address, root.cert, ...asks];
  const client = sandbox.inClient(argv, { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const bytes of client.stdout ?? []) said += bytes;
  return JSON.parse(said) as string[];
}

interface Local {
  readonly port: number;
  readonly run: Run;
  stop(): Promise<void>;
}

async function local(speaks: "tls" | "plain" | "silent"): Promise<Local> {
  const run = new Run(
    sandbox.inLaptop([process.execPath, "-e", SERVER, "--", "mine", "0", speaks], {
      env: { CERT: own.cert, KEY: own.key },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    }),
  );
  await run.said(/listens \d+\n/);
  const stop = async (): Promise<void> => {
    run.signalGroup("SIGKILL");
    await run.ended;
  };
  return { port: Number(/\d+/.exec(run.stdout)?.[0]), run, stop };
}

async function mesh(port: number, flags: readonly string[] = [], delivery?: object): Promise<Run> {
  const tls = [{ cert: join(folder, "cert.pem"), key: join(folder, "key.pem") }];
  const incoming = { tls, ...(delivery === undefined ? {} : { tls_delivery: delivery }) };
  const config = join(folder, "inpod.json");
  writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
  const run = startMode(sandbox, "mesh", [
    ...["-f", config, "--expose", `${port}:${PORT}`, "--header", "x-user=me", ...flags],
  ]);
  await run.said("until Ctrl-C", "stderr");
  return run;
}

async function interrupted(run: Run): Promise<void> {
  run.signalGroup("SIGINT");
  assert.equal((await run.ended).code, 0, run.stderr);
  assert.equal(run.stderr.match(/PRIVATE|sesame/), null);
  await inventory.assertAsBefore(folder);
}

test("marked requests inside TLS come in TLS again, for the name and in the protocol of their client; others go to the pod", async () => {
  const mine = await local("tls");
  const run = await mesh(mine.port);
  assert.deepEqual(await ask("h1:me", "h1:you", "h2:me", "h2:you"), [
    `200 mine 1.1 ${HOST} /me`,
    `200 pod 1.1 ${HOST} /you`,
    `200 mine 2.0 ${HOST} /me`,
    `200 pod 2.0 ${HOST} /you`,
  ]);
  await mine.stop();
  const [nobody = ""] = await ask("h1:me");
  assert.match(nobody, /^502 this request was brought to the machine of/);
  assert.doesNotMatch(run.stderr, /speak TLS/);
  await interrupted(run);
});

test("a port that speaks no TLS gets what was inside, one line says so, and it is not tried for each connection", async () => {
  const mine = await local("plain");
  const run = await mesh(mine.port);
  const answers = await ask("h1:me", "h1:me", "h1:you", "h1:me");
  assert.deepEqual(answers, [
    ...["200 mine 1.1 plain /me", "200 mine 1.1 plain /me"],
    ...[`200 pod 1.1 ${HOST} /you`, "200 mine 1.1 plain /me"],
  ]);
  const line = `127.0.0.1:${mine.port} does not speak TLS, in which clients of port ${PORT}`;
  assert.equal(run.stderr.split(line).length, 2, run.stderr);
  assert.equal(mine.run.stdout.split("nonsense").length, 2, mine.run.stdout);
  await interrupted(run);
  await mine.stop();
});

test("so does one that closes such a connection without a word", async () => {
  const mine = await local("silent");
  const run = await mesh(mine.port);
  assert.deepEqual(await ask("h1:me", "h1:me"), new Array(2).fill("200 mine 1.1 plain /me"));
  await run.said("does not speak TLS, in which clients of", "stderr");
  await interrupted(run);
  await mine.stop();
});

test("with --plaintext it gets it without being tried", async () => {
  const mine = await local("plain");
  const run = await mesh(mine.port, ["--plaintext"]);
  assert.deepEqual(await ask("h1:me", "h1:you"), [
    "200 mine 1.1 plain /me",
    `200 pod 1.1 ${HOST} /you`,
  ]);
  assert.doesNotMatch(run.stderr, /speak TLS/);
  assert.doesNotMatch(mine.run.stdout, /nonsense/);
  await interrupted(run);
  await mine.stop();
});

test("who is to have a certain certificate gets nothing without it", async () => {
  const mine = await local("plain");
  const run = await mesh(mine.port, [], { trust_roots: [join(folder, "root.pem")] });
  assert.deepEqual(await ask("h1:me", "h1:you"), ["ECONNRESET", `200 pod 1.1 ${HOST} /you`]);
  await run.said(/does not speak TLS as feature\.network\.incoming\.tls_delivery says/, "stderr");
  await interrupted(run);
  await mine.stop();
});
