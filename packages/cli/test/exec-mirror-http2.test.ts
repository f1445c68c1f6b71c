/** Filters without --steal on HTTP/2 by prior knowledge: each stream of one connection for itself. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { Inventory, Run, startInpod, useSandbox } from "./exec-support.ts";

const { sandbox, folder } = await useSandbox();

const PORT = 3100;
const { address: client } = NETWORK.client;
const { address: pod } = NETWORK.pod;

/** Larger in everything than what node:http2 allows by itself; its own frames are to be answered, too. */
const POD = `
const http2 = require("node:http2");
const server = http2.createServer({ settings: { headerTableSize: 65536, initialWindowSize: 4000000, maxFrameSize: 1000000, enableConnectProtocol: true } });
server.on("session", (session) => {
  session.setLocalWindowSize(8000000);
  session.ping(() => undefined);
  session.settings({ maxConcurrentStreams: 500 });
});
server.on("stream", (stream, headers) => {
  stream.on("error", () => undefined);
  stream.resume();
  stream.respond({ ":status": 200 });
  if (headers[":path"] === "/unanswered") return;
  if (headers[":path"].startsWith("/large")) stream.write("z".repeat(3000000));
  stream.on("end", () => stream.end("the pod"));
});
server.listen(${PORT}, () => console.log("ready"));
`;
const podServer = sandbox.inPod(["node", "-e", POD], { stdio: ["ignore", "pipe", "inherit"] });
await once(podServer.stdout as NodeJS.ReadableStream, "data");
const inventory = await Inventory.of(sandbox);
after(() => {
  podServer.kill();
});

/** Says each request when it has ended, whole or not. */
const PROGRAM = `
import http2 from "node:http2";
import { createHash } from "node:crypto";
const server = http2.createServer({ settings: { initialWindowSize: 20000 } });
let sessions = 0;
server.on("session", (session) => {
  session.number = ++sessions;
  session.on("close", () => console.log("session closed", session.number));
});
server.on("sessionError", (error) => console.log("session error", error.message));
server.on("stream", (stream, headers, flags, raw) => {
  const hash = createHash("md5");
  let trailers = {};
  console.log("begun", headers[":path"]);
  stream.on("error", () => undefined);
  stream.on("data", (bytes) => hash.update(bytes));
  stream.on("trailers", (given) => { trailers = given; });
  stream.on("close", () => { if (stream.rstCode !== 0) console.log("cancelled", headers[":path"], stream.rstCode); });
  stream.on("end", () => {
    if (stream.aborted || stream.rstCode !== 0 || headers[":path"] === "/unanswered") return;
    const own = raw.map((text, i) => i % 2 === 0 && text.startsWith("x-") ? text + "=" + raw[i + 1] : "").filter(Boolean);
    console.log("done", headers[":method"], headers[":path"], hash.digest("hex"), own.join(), JSON.stringify(trailers), stream.session.number, stream.session.socket.remoteAddress.replace("::ffff:", ""));
    if (headers[":path"] === "/last") stream.session.goaway();
    stream.respond({ ":status": 500 });
    stream.end("y".repeat(100000));
  });
});
server.listen(${PORT}, () => console.log("listening"));
`;

async function start(name: string, http_filter: unknown): Promise<Run> {
  const path = join(folder, `${name}.mjs`);
  await writeFile(path, PROGRAM);
  const config = { feature: { network: { incoming: { mode: "mirror", http_filter } } } };
  const run = await startInpod(sandbox, ["node", path], { config });
  await run.said("listening");
  await run.said("are copied to your process if they match", "stderr");
  return run;
}

async function ended(...runs: Run[]): Promise<void> {
  for (const run of runs) {
    run.signalGroup("SIGINT");
    await run.ended;
  }
  await inventory.assertAsBefore(folder);
}

/** A module that runs in the clients' network, with `ask(path, headers, body, trailers)` over one connection. */
function startClient(source: string): Run {
  const program = `
    import http2 from "node:http2";
    const session = http2.connect("http://${pod}:${PORT}", { settings: { initialWindowSize: 1000000 } });
    session.on("error", (error) => { console.log(error.message); process.exit(1); });
    const ask = (path, headers = {}, body, trailers) => new Promise((resolve, reject) => {
      const method = body === undefined ? "GET" : "POST";
      const stream = session.request({ ":path": path, ":method": method, ...headers }, { endStream: body === undefined, waitForTrailers: trailers !== undefined });
      if (trailers) stream.on("wantTrailers", () => stream.sendTrailers(trailers));
      if (body !== undefined) stream.end(body);
      let answer = "";
      stream.on("error", reject);
      stream.setEncoding("latin1").on("data", (text) => { answer += text; });
      stream.on("end", () => answer.endsWith("the pod") ? resolve() : reject(new Error(answer)));
    });
    ${source}
  `;
  return new Run(
    sandbox.inClient([process.execPath, "--input-type=module", "-e", program], {
      stdio: ["pipe", "pipe", "inherit"],
    }),
  );
}

const md5 = (text: string): string => createHash("md5").update(text).digest("hex");
const done = ({ stdout }: Run): string[] =>
  stdout.split("\n").filter((line) => line.startsWith("done"));

test("streams of one connection go to those whose filter they match, with repeated headers, large bodies and trailers", async () => {
  const ann = await start("ann", { header_filter: "^x-user: ann$" });
  const both = await start("both", { header_filter: "^x-user: (ann|bob)$" });
  const asking = startClient(`
    const large = "0123456789".repeat(300000);
    await ask("/large/first", { "x-user": "nobody" }, large);
    await Promise.all([
      ask("/1", { "x-user": "ann", "x-more": ["a", "caf\\u00e9"] }),
      ask("/large/2", { "x-user": "nobody" }, large),
      ask("/large/3", { "x-user": "ann" }, large),
      ask("/4", { "x-user": "bob" }, "small", { "x-sum": "1" }),
      ...Array.from({ length: 100 }, (_, each) => ask("/many/" + each, { "x-user": "nobody", "x-each": String(each).repeat(50) })),
    ]);
    await ask("/5", { "x-user": "ann", "x-each": "7".repeat(50) });
    session.close(() => console.log("client has ended"));
  `);
  await asking.said("client has ended");
  for (const run of [ann, both]) {
    for (const path of ["/5", "/large/3"]) await run.said(new RegExp(`done \\S+ ${path} `));
  }
  const large = md5("0123456789".repeat(300_000));
  const from = (line: string): string => `done ${line} 1 ${client}`;
  const ofAnn = [
    from(`GET /1 ${md5("")} x-user=ann,x-more=a,x-more=caf\u00e9 {}`),
    from(`POST /large/3 ${large} x-user=ann {}`),
    from(`GET /5 ${md5("")} x-user=ann,x-each=${"7".repeat(50)} {}`),
  ];
  const ofBob = from(`POST /4 ${md5("small")} x-user=bob {"x-sum":"1"}`);
  const asSaid = (lines: string[]): string[] =>
    lines.map((line) => Buffer.from(line).toString("latin1")).sort();
  assert.deepEqual(done(ann).sort(), asSaid(ofAnn));
  assert.deepEqual(done(both).sort(), asSaid([...ofAnn, ofBob]));
  // When its client has gone and all is answered.
  for (const run of [ann, both]) await run.said("session closed 1");
  for (const run of [ann, both]) {
    assert.doesNotMatch(run.stderr, /not mirrored|no further|lost/);
    assert.doesNotMatch(run.stdout, /session error|cancelled/);
  }
  await ended(ann, both);
});

test("a cancelled stream is cancelled, the others go on, and after GOAWAY of the program there is another connection", async () => {
  const run = await start("cancel", { path_filter: { prefix: "/" } });
  const asking = startClient(`
    // close() ends the body before it resets, unless trailers are to follow.
    const open = session.request({ ":path": "/cancelled", ":method": "POST" }, { waitForTrailers: true });
    open.on("error", () => undefined);
    open.write("some");
    const whole = session.request({ ":path": "/unanswered", ":method": "GET" });
    whole.on("error", () => undefined);
    await ask("/other");
    process.stdin.once("data", async () => {
      open.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
      whole.close(http2.constants.NGHTTP2_CANCEL);
      await ask("/last");
      for (;;) {
        await ask("/after");
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
  `);
  await run.said("begun /cancelled");
  await run.said("begun /unanswered");
  await run.said("done GET /other");
  assert.doesNotMatch(run.stdout, /^cancelled/m);
  asking.child.stdin?.write("\n");
  await run.said("cancelled /cancelled 2");
  await run.said("cancelled /unanswered 8");
  await run.said(/done GET \/after \S+ {2}\{\} 2/);
  asking.child.kill("SIGKILL");
  await asking.ended;
  await run.said("session closed 2");
  assert.doesNotMatch(run.stderr, /not mirrored|no further|lost/);
  await ended(run);
});

test("a body decides when it is there; what is too large is nobody's", async () => {
  const run = await start("body", {
    body_filter: { body: "json", query: "$.user", matches: "^me$" },
  });
  const asking = startClient(`
    const json = (user, more = "") => JSON.stringify({ user, more });
    await ask("/mine", {}, json("me"));
    await ask("/yours", {}, json("you"));
    await ask("/too-large", {}, json("me", "x".repeat(70000)));
    await ask("/none");
    await ask("/mine/again", {}, json("me", "x".repeat(60000)), { "x-sum": "2" });
    console.log("client has ended");
  `);
  await asking.said("client has ended");
  await run.said("done POST /mine/again");
  assert.deepEqual(
    done(run).map((line) => line.split(" ")[2]),
    ["/mine", "/mine/again"],
  );
  asking.child.kill();
  await asking.ended;
  await ended(run);
});

test("what cannot be read as HTTP/2 is told, and its copies are reset", async () => {
  const run = await start("broken", { path_filter: { prefix: "/" } });
  const socket = await sandbox.connect({ port: PORT });
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
  // HEADERS with an index that no table has.
  await socket.send(`${preface}\0\0\x01\x01\x05\0\0\0\x01\x7e`);
  await run.said(
    `mirror of port ${PORT}: 1 connection mirrored no further: a request that can`,
    "stderr",
  );
  await socket.close(true);
  await ended(run);
});
