/** inpod dump beside the sandbox's pod: what clients send is printed, the pod answers. */
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { Inventory, type Run, until, useSandbox } from "./exec-support.ts";
import { startMode } from "./services-support.ts";

const { sandbox, folder } = await useSandbox();

const { httpPort, echoPort, udpPort } = NETWORK.pod;

async function started(...words: readonly string[]): Promise<Run> {
  const run = startMode(sandbox, "dump", words);
  await run.said("until Ctrl-C", "stderr");
  return run;
}

async function interrupted(run: Run): Promise<string> {
  run.signalGroup("SIGINT");
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 0, stderr);
  await inventory.assertAsBefore();
  return stdout;
}

/** HTTP/2, which the sandbox's own server does not speak. */
const H2_PORT = 3100;
const POD = `
const server = require("node:http2").createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {});
  stream.resume();
  stream.respond({ ":status": 200 });
  stream.on("end", () => stream.end());
});
server.listen(${H2_PORT}, () => console.log("ready"));
`;
const podServer = sandbox.inPod(["node", "-e", POD], { stdio: ["ignore", "pipe", "inherit"] });
await once(podServer.stdout as NodeJS.ReadableStream, "data");
const inventory = await Inventory.of(sandbox);
after(() => {
  podServer.kill();
});

/** Streams of one connection at once: two end, one as gRPC has them, and one goes on until the client hears so. */
const HTTP2 = `
const session = require("node:http2").connect(process.argv[1]);
const ask = (headers, first) => {
  const stream = session.request({ ":method": "POST", ...headers });
  stream.on("error", () => {});
  stream.resume();
  stream.write(first);
  return stream;
};
const one = ask({ ":path": "/text", authorization: "Bearer s3cret" }, "first ");
const two = ask({ ":path": "/shop.Orders/Get", "content-type": "application/grpc", te: "trailers" }, Buffer.from([0, 0, 0, 0, 3, 1, 2, 255]));
const three = ask({ ":path": "/open" }, "part");
two.end(() => one.end("second"));
process.stdin.once("data", () => process.exit());
`;

const inClient = (...argv: readonly string[]): ChildProcess =>
  sandbox.inClient(argv, { stdio: ["pipe", "ignore", "inherit"] });

const http2Streams = (): ChildProcess =>
  inClient(process.execPath, "-e", HTTP2, "--", `http://${sandbox.podAddress}:${H2_PORT}`);

async function datagram(): Promise<void> {
  const send = `const s = require("node:dgram").createSocket("udp4"); s.send("ping", ${udpPort}, process.argv[1], () => s.close())`;
  await once(inClient(process.execPath, "-e", send, "--", sandbox.podAddress), "close");
}

test("requests of HTTP/1 and HTTP/2, bytes and datagrams are printed, secrets are not, and the pod answers", async () => {
  const run = await started("-p", `${httpPort},${echoPort},${H2_PORT}`, "-p", `${udpPort}/udp`);
  const first = await sandbox.request({
    ...{ connection: "kept", method: "POST", path: "/orders?id=1", body: '{"a": "é"}\n' },
    headers: { authorization: "Bearer s3cret", cookie: "s3cret=1", "x-esc": "a\tb" },
  });
  assert.match(first.body, /^I am the pod/);
  await sandbox.request({ connection: "kept", path: "/second" });
  const large = { method: "PUT", path: "/large", body: "y".repeat(9000) };
  await sandbox.request({ connection: "kept", ...large });
  await run.said("/large HTTP/1.1");
  const coded = {
    method: "POST",
    path: "/coded",
    body: "\x1f\x8b",
    headers: { "content-encoding": "gzip" },
  };
  await sandbox.request(coded);
  await run.said("gzip, not decoded: ");
  const streams = http2Streams();
  await run.said("first second");
  await run.said("/Get HTTP/2");
  await run.said("part\n(it goes on");
  streams.stdin?.write("x");
  const url = `http://${sandbox.podAddress}:${H2_PORT}/curl`;
  const curl = ["curl", "-s", "--http2-prior-knowledge", "-H", "x-api-key: s3cret", url];
  await once(inClient(...curl, "-d", "of curl"), "close");
  await run.said("of curl");
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("\x1b[2Jraw bytes\r\nCookie: s3cret\r\n");
  await raw.receive(4);
  await raw.close();
  await run.said("raw bytes");
  await datagram();
  await run.said(/ udp #\d+\n00000000 {2}70 69 6e 67 {39,}\|ping\|\n/);
  const bad = await sandbox.connect({ port: httpPort });
  await bad.send("GET / HTTP/1.1\r\nA : b\r\nAuthorization: s3cret\r\n\r\n");
  await run.said("in which secrets can be: --show-secrets");
  await bad.close();

  const said = Buffer.from(await interrupted(run), "latin1").toString();
  const heading =
    /\d\d:\d\d:\d\d\.\d{3} [\d.]+:\d+ -> [\d.]+:\d+ #(\d+)\nPOST \/orders\?id=1 HTTP\/1\.1\n/;
  const number = heading.exec(said)?.[1];
  assert.ok(number !== undefined, said);
  assert.match(said, new RegExp(`#${number}\nGET /second HTTP/1\\.1\n`));
  assert.match(said, /authorization: \(hidden\)\n/);
  assert.match(said, /cookie: \(hidden\)\n/);
  assert.match(said, /\n\n\{"a": "é"\}\n\n/);
  assert.match(said, /y{4096}\n\(no more than 4096 bytes of 9000 bytes are shown: --max-body\)\n/);
  assert.match(said, /#(\d+) stream 1\nPOST \/text HTTP\/2\n[\s\S]*?\n\nfirst second\n/);
  assert.match(
    said,
    /stream 3\nPOST \/shop\.Orders\/Get HTTP\/2\n[\s\S]*?\n\n\(8 bytes\)\n00000000 {2}00 00 00 00 03 01 02 ff +\|\.\.\.\.\.\.\.\.\|\n/,
  );
  assert.match(said, /\(what follows is not read as HTTP: not a header's name\)/);
  assert.match(said, /POST \/curl HTTP\/2\n[\s\S]*?x-api-key: \(hidden\)\n[\s\S]*?\n\nof curl\n/);
  assert.ok(!said.includes("s3cret") && !said.includes("\x1b"));
});

interface Line {
  readonly kind: string;
  readonly [key: string]: unknown;
}

test("as JSON each line is an object, and only requests that are wanted are there", async () => {
  const target = `process/${sandbox.pid}`;
  const run = await started(
    "-t",
    target,
    "-p",
    `${httpPort}`,
    "-p",
    `${echoPort},${H2_PORT}`,
    "-o",
    "json",
    "--show-secrets",
  );
  await sandbox.request({ method: "POST", path: "/a", body: "\0\x01", headers: { cookie: "c=1" } });
  await run.said('"/a"');
  const streams = http2Streams();
  await run.said('"/text"');
  await run.said('"/shop.Orders/Get"');
  await run.said('"/open"');
  streams.stdin?.write("x");
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("raw");
  await raw.receive(3);
  await raw.close();
  await run.said('"bytes"');
  const lines = (await interrupted(run))
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Line);
  const { time, client, local, connection, headers, ...rest } = lines[0] as Line;
  assert.match(String(time), /^\d{4}-.*Z$/);
  assert.match(String(client), /^[\d.]+:\d+$/);
  assert.equal(local, `${sandbox.podAddress}:${httpPort}`);
  assert.ok(Number(connection) > 0);
  assert.ok(
    (headers as { name: string; value: string }[]).some(
      ({ name, value }) => name === "cookie" && value === "c=1",
    ),
  );
  assert.deepEqual(rest, {
    ...{ kind: "request", protocol: "tcp", version: "HTTP/1.1", method: "POST", target: "/a" },
    body: { size: 2, isCut: false, base64: "AAE=" },
    ...{ trailers: [], end: "whole" },
  });
  const grpc = lines.find((line) => line.target === "/shop.Orders/Get");
  assert.deepEqual([grpc?.version, grpc?.stream, grpc?.scheme], ["HTTP/2", 3, "http"]);
  const bytes = lines.find(({ kind }) => kind === "bytes");
  assert.deepEqual([bytes?.base64, bytes?.size, bytes?.offset], ["cmF3", 3, 0]);

  const some = await started(
    "-p",
    `${httpPort},${echoPort}`,
    "-o",
    "json",
    "--header",
    "x-mark=me",
  );
  await sandbox.request({ path: "/unmarked" });
  await sandbox.request({ path: "/marked", headers: { "x-mark": "me" } });
  await some.said('"/marked"');
  assert.doesNotMatch(await interrupted(some), /unmarked/);
});

interface Har {
  readonly log: {
    readonly version: string;
    readonly creator: object;
    readonly entries: readonly {
      readonly request: {
        readonly method: string;
        readonly url: string;
        readonly postData?: { readonly text: string; readonly mimeType: string };
      };
      readonly response: { readonly status: number; readonly comment: string };
    }[];
  };
}

/** Objects that HAR 1.2 wants, and what each must have. */
const REQUIRED = {
  entry: ["startedDateTime", "time", "request", "response", "cache", "timings"],
  request: [
    "method",
    "url",
    "httpVersion",
    "cookies",
    "headers",
    "queryString",
    "headersSize",
    "bodySize",
  ],
  response: [
    "status",
    "statusText",
    "httpVersion",
    "cookies",
    "headers",
    "content",
    "redirectURL",
    "headersSize",
    "bodySize",
  ],
} as const;

function archive(text: string): Har {
  const har = JSON.parse(text) as Har;
  assert.equal(har.log.version, "1.2");
  assert.deepEqual(Object.keys(har.log.creator), ["name", "version"]);
  for (const entry of har.log.entries) {
    const has = (value: object, names: readonly string[]): void => {
      for (const name of names) assert.ok(name in value, name);
    };
    has(entry, REQUIRED.entry);
    has(entry.request, REQUIRED.request);
    has(entry.response, REQUIRED.response);
    assert.match(entry.response.comment, /not seen/);
    assert.ok(URL.canParse(entry.request.url));
  }
  return har;
}

test("an HTTP archive is whole at any time, after kill -9 too, and its owner's only", async () => {
  const file = join(folder, "orders.har");
  const run = await started("-p", `${httpPort},${echoPort}`, "-o", "har", "--file", file);
  assert.deepEqual(archive(readFileSync(file, "utf8")).log.entries, []);
  const count = (): number => archive(readFileSync(file, "utf8")).log.entries.length;
  await sandbox.request({
    method: "POST",
    path: "/a?q=1&r=%20",
    body: "x",
    headers: { "content-type": "text/plain" },
  });
  await until("the first is there", () => count() === 1);
  await sandbox.request({ path: "/b" });
  await until("the second is there", () => count() === 2);
  const raw = await sandbox.connect({ port: echoPort });
  await raw.send("raw");
  await run.said("no place in a HAR", "stderr");
  await raw.close();
  run.signalGroup("SIGKILL");
  await run.ended;
  const [first, second] = archive(readFileSync(file, "utf8")).log.entries;
  assert.equal(first?.request.postData?.text, "x");
  assert.equal(first?.request.postData?.mimeType, "text/plain");
  assert.ok(second?.request.url.endsWith("/b"));
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await until("the pod is as before", async () => {
    try {
      await inventory.assertAsBefore();
      return true;
    } catch {
      return false;
    }
  });
  const onStdout = await started("-p", `${httpPort}`, "-o", "har");
  await sandbox.request({ path: "/c" });
  await onStdout.said("/c");
  assert.equal(archive(await interrupted(onStdout)).log.entries.length, 1);
});

test("it ends with code 0 when who reads it has gone, waits for one that is slow, and names what it needs", async () => {
  const gone = await started("-p", `${httpPort}`);
  gone.child.stdout?.destroy();
  let isOver = false;
  void gone.ended.then(() => {
    isOver = true;
  });
  await until("it has seen that", async () => {
    if (!isOver) await sandbox.request({ path: "/x" });
    return isOver;
  });
  assert.equal((await gone.ended).code, 0, gone.stderr);
  await inventory.assertAsBefore();

  const slow = await started("-p", `${httpPort}`, "--max-body", "16m");
  slow.child.stdout?.pause();
  for (let i = 0; i < 6; i++)
    await sandbox.request({ method: "PUT", path: `/slow${i}`, body: "z".repeat(2_000_000) });
  slow.child.stdout?.resume();
  await slow.said("/slow0 HTTP/1.1");
  await interrupted(slow);

  const none = startMode(sandbox, "dump", []);
  const { code, stderr } = await none.ended;
  assert.equal(code, 3);
  assert.match(stderr, /which ports of .* are meant\? It names none\n.*-p 8080/);
});
