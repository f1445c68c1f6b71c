/** Filters without --steal: of what clients send, the program gets the requests that match, and the pod answers all. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { type Run, startInpod, until, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const { address: client } = NETWORK.client;
const { httpPort } = NETWORK.pod;

/** Says each request, when it is complete, with the connection that it came over. */
const HTTP = `
import http from "node:http";
let connections = 0;
const server = http.createServer((request, response) => {
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (text) => { body += text; });
  request.on("end", () => {
    const { socket } = request;
    console.log(request.method, request.url, JSON.stringify(body), socket.number, socket.remoteAddress.replace("::ffff:", ""));
    if (request.url === "/last") response.setHeader("connection", "close");
    response.end("from the program");
  });
});
server.on("connection", (socket) => { socket.number = ++connections; });
server.on("upgrade", (request, socket, head) => {
  console.log("upgrade", request.url);
  socket.unshift(head);
  socket.on("data", (bytes) => console.log("frames", String(bytes)));
  socket.on("end", () => socket.end());
  socket.on("error", () => undefined);
});
server.listen(${httpPort}, () => console.log("listening"));
`;

async function start(name: string, http_filter: unknown, source = HTTP): Promise<Run> {
  const path = join(folder, `${name}.mjs`);
  await writeFile(path, source);
  const config = { feature: { network: { incoming: { mode: "mirror", http_filter } } } };
  const run = await startInpod(sandbox, ["node", path], { config });
  await run.said("listening");
  await run.said(
    /requests to port \d+ of the target are copied to your process if they match: .*; the target answers them/,
    "stderr",
  );
  return run;
}

async function ended(...runs: Run[]): Promise<void> {
  for (const run of runs) {
    run.signalGroup("SIGINT");
    await run.ended;
  }
  await inventory.assertAsBefore(folder);
}

const ask = async (path: string, user: string, more: object = {}): Promise<void> => {
  const { status, body } = await sandbox.request({
    ...{ path, headers: { "X-User": user }, connection: "kept" },
    ...more,
  });
  assert.equal(status, 200);
  assert.match(body, /^I am the pod/);
};

/** What a program has said of requests. */
const said = ({ stdout }: Run): string[] =>
  stdout.split("\n").filter((line) => /^[A-Z]+ \//.test(line));

test("each request of a kept connection goes to those whose filter it matches, over one connection for each", async () => {
  const ann = await start("ann", { header_filter: "^x-user: ann$" });
  const both = await start("both", { header_filter: "^x-user: (ann|bob)$" });
  assert.equal(await sandbox.ruleset(), "");
  for (const each of [1, 2, 3]) {
    await ask(`/a${each}`, "ann");
    await ask(`/b${each}`, "bob", { method: "POST", body: "of bob" });
    await ask(`/c${each}`, "somebody", { method: "POST", body: "GET /inside HTTP/1.1\r\n\r\n" });
  }
  await ann.said("/a3");
  await both.said("/b3");
  const line = (method: string, path: string, body = ""): string =>
    `${method} ${path} ${JSON.stringify(body)} 1 ${client}`;
  assert.deepEqual(
    said(ann),
    ["/a1", "/a2", "/a3"].map((path) => line("GET", path)),
  );
  assert.deepEqual(
    said(both),
    ["1", "2", "3"].flatMap((each) => [
      line("GET", `/a${each}`),
      line("POST", `/b${each}`, "of bob"),
    ]),
  );
  for (const { stderr } of [ann, both]) assert.doesNotMatch(stderr, /not mirrored|no further|lost/);
  await ended(ann, both);
});

test("pipelined requests, chunked bodies, and bodies that decide", async () => {
  const run = await start("pipelined", {
    any_of: [{ path: "^/mine" }, { body: "json", query: "$.user", matches: "^me$" }],
  });
  const socket = await sandbox.connect({ port: httpPort });
  const post = (path: string, body: string): string =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
  const chunked =
    "POST /mine/chunked HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
  const all = [
    post("/mine/1", "one"),
    post("/other", "two"),
    chunked,
    post("/json", '{"user":"me"}'),
    post("/json", '{"user":"you"}'),
    "GET /mine/2 HTTP/1.1\r\nHost: a\r\n\r\n",
  ].join("");
  // Cut where it hurts: the kernel makes a segment of each.
  for (let at = 0; at < all.length; at += 37) await socket.send(all.slice(at, at + 37));
  await run.said("GET /mine/2");
  assert.deepEqual(
    said(run).map((line) => line.split(" ").slice(0, 4).join(" ")),
    [
      'POST /mine/1 "one" 1',
      'POST /mine/chunked "abcde" 1',
      `POST /json ${JSON.stringify('{"user":"me"}')} 1`,
      'GET /mine/2 "" 1',
    ],
  );
  await socket.close(true);
  await ended(run);
});

test("after the program has closed its connection the next request that matches has another", async () => {
  const run = await start("closing", { header_filter: "^x-user: me$" });
  await ask("/last", "me", { connection: "other" });
  await run.said("/last");
  // The program's FIN is on its way; a request that overtakes it is lost with the connection, as between any two.
  await until("the next one", async () => {
    await ask("/next", "me", { connection: "other" });
    return run.stdout.includes("GET /next");
  });
  assert.match(run.stdout, new RegExp(`GET /next "" 2 ${client}`));
  await ended(run);
});

test("what follows an upgrade that matches is copied, and of another nothing", async () => {
  const run = await start("upgrade", { path_filter: "^/mine" });
  const upgrade = (path: string): string =>
    `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`;
  const [mine, other] = [
    await sandbox.connect({ port: httpPort }),
    await sandbox.connect({ port: httpPort }),
  ];
  await other.send(`${upgrade("/other")}\x81\x85not mine GET /mine HTTP/1.1\r\n\r\n`);
  await mine.send(`${upgrade("/mine")}\x81\x85mine GET /x HTTP/1.1\r\n\r\n`);
  await run.said("upgrade /mine");
  await run.said(/frames .*mine GET \/x/s);
  assert.doesNotMatch(run.stdout, /other|not mine/);
  for (const each of [mine, other]) await each.close(true);
  await ended(run);
});

test("what is no HTTP, or can be read in two ways, is told in one line with the count", async () => {
  const run = await start("malformed", { path_filter: "^/mine" });
  const other = await sandbox.connect({ port: httpPort });
  await other.send("hello\r\n");
  await run.said(
    `mirror of port ${httpPort}: 1 connection without HTTP not mirrored: http_filter takes nothing of them`,
    "stderr",
  );
  const twofold = await sandbox.connect({ port: httpPort });
  await twofold.send("GET /mine/1 HTTP/1.1\r\nHost: a\r\n\r\n");
  await run.said("/mine/1");
  await twofold.send(
    "POST /mine/2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  );
  await run.said(
    `mirror of port ${httpPort}: 1 connection mirrored no further: a request that can be read in more than one way`,
    "stderr",
  );
  assert.doesNotMatch(run.stdout, /mine\/2/);
  for (const each of [other, twofold]) await each.close(true);
  await ended(run);
});
