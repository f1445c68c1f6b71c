/**
 * node:http reads the same bytes: whatever both accept, they must read alike, to the last byte of each body,
 * in requests and in responses. What inpod refuses and Node accepts is harmless (it goes to the pod as it
 * came); what is valid, neither may refuse.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import * as net from "node:net";
import { after, test } from "node:test";
import {
  BodyReader,
  fromLatin1,
  type Header,
  HeadScanner,
  latin1,
  parseRequestHead,
  parseResponseHead,
  responseBody,
} from "../src/index.ts";
import { Random } from "./support/random.ts";

interface Message {
  /** Method and target, or the status. */
  readonly start: string;
  readonly headers: string[];
  readonly body: string;
}

interface Reading {
  readonly messages: Message[];
  /** How the last one ended: all was read, the rest is not complete, or was refused. */
  readonly end: "all" | "incomplete" | "refused";
}

const pairs = (headers: readonly Header[]): string[] =>
  headers.map(({ name, value }) => `${name}: ${value}`);

/** As the splitter does it: heads are waited for, bodies followed. */
function ownRequests(pieces: readonly Uint8Array[]): Reading {
  const messages: Message[] = [];
  let bytes = new Uint8Array(0);
  let scanner = new HeadScanner();
  let reader: BodyReader | undefined;
  let payload = "";
  let message: Omit<Message, "body"> | undefined;
  for (const piece of pieces) {
    bytes = Uint8Array.from([...bytes, ...piece]);
    for (;;) {
      if (message === undefined) {
        const length = scanner.scan(bytes);
        if (length === undefined) break;
        if (typeof length !== "number") return { messages, end: "refused" };
        const head = parseRequestHead(bytes.slice(0, length));
        if (head.kind === "malformed") return { messages, end: "refused" };
        bytes = bytes.slice(length);
        message = { start: `${head.method} ${head.target}`, headers: pairs(head.headers) };
        payload = "";
        reader = new BodyReader(head.body, (from, a, b) => {
          payload += latin1(from.subarray(a, b));
        });
        scanner = new HeadScanner();
      }
      if (reader === undefined) break;
      bytes = bytes.slice(reader.read(bytes, 0));
      if (reader.malformed !== undefined) return { messages, end: "refused" };
      if (!reader.isDone) break;
      messages.push({ ...message, body: payload });
      message = undefined;
      if (bytes.length === 0) break;
    }
  }
  return { messages, end: message === undefined && bytes.length === 0 ? "all" : "incomplete" };
}

function ownResponse(
  bytes: Uint8Array,
  method: string,
): (Message & { readonly isCautious: boolean }) | "refused" | "incomplete" {
  let at = 0;
  for (;;) {
    const length = new HeadScanner().scan(bytes.subarray(at));
    if (length === undefined) return "incomplete";
    if (typeof length !== "number") return "refused";
    const head = parseResponseHead(bytes.subarray(at, at + length));
    if (head.kind === "malformed") return "refused";
    at += length;
    if (head.status < 200) continue;
    const body = responseBody(head, method);
    let payload = "";
    const reader = new BodyReader(body, (from, a, b) => {
      payload += latin1(from.subarray(a, b));
    });
    reader.read(bytes, at);
    if (reader.malformed !== undefined) return "refused";
    if (!reader.isDone && body.kind !== "until-close") return "incomplete";
    // Framed by headers that are not to be trusted: the rest of the connection, and nothing can follow.
    const isCautious =
      body.kind === "until-close" &&
      head.headers.some(({ name }) => /^(content-length|transfer-encoding)$/.test(name));
    return { start: `${head.status}`, headers: pairs(head.headers), body: payload, isCautious };
  }
}

/** Node joins what it was given as name, value, name, value. */
const rawPairs = (raw: readonly string[]): string[] =>
  raw.flatMap((name, i) => (i % 2 === 0 ? [`${name.toLowerCase()}: ${raw[i + 1]}`] : []));

async function bodyOf(message: http.IncomingMessage): Promise<string> {
  let body = "";
  message.setEncoding("latin1");
  for await (const chunk of message) body += chunk;
  return body;
}

const seen = new Map<net.Socket, Promise<Message>[]>();
const refused = new Set<net.Socket>();
const server = http.createServer({ maxHeaderSize: 64 * 1024, requireHostHeader: false });
const answer = (request: http.IncomingMessage, response?: http.ServerResponse): void => {
  const start = `${request.method} ${request.url}`;
  const headers = rawPairs(request.rawHeaders);
  seen.get(request.socket as net.Socket)?.push(
    bodyOf(request).then((body) => {
      response?.end();
      return { start, headers, body };
    }),
  );
};
server.on("request", answer);
server.on("checkContinue", answer);
server.on("checkExpectation", answer);
server.on("connection", (socket) => seen.set(socket, []));
server.on("clientError", (_, socket) => {
  refused.add(socket as net.Socket);
  socket.destroy();
});
await once(server.listen(0, "127.0.0.1"), "listening");
const raw = net.createServer();
await once(raw.listen(0, "127.0.0.1"), "listening");
after(() => {
  raw.close();
  server.close();
  server.closeAllConnections();
});
const { port } = server.address() as net.AddressInfo;

/** What node:http makes of the bytes, which then end. */
async function nodeRequests(pieces: readonly Uint8Array[]): Promise<Reading> {
  const accepted = once(server, "connection");
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("error", () => undefined);
  const [own] = (await accepted) as [net.Socket];
  const closed = new Promise((resolve) => own.once("close", resolve));
  for (const piece of pieces) socket.write(piece);
  socket.end();
  socket.resume();
  await closed;
  const messages: Message[] = [];
  let isCut = false;
  for (const message of seen.get(own) ?? []) {
    // A body that did not end: "aborted".
    await message.then(
      (complete) => messages.push(complete),
      () => {
        isCut = true;
      },
    );
  }
  seen.delete(own);
  const isRefused = refused.delete(own);
  return { messages, end: isRefused ? "refused" : isCut ? "incomplete" : "all" };
}

const TOKENS = ["a", "X-User", "x", "Cookie", "Accept", "baggage"] as const;
const VALUES = ["", "me", "a b", "caf\xe9", '"q;,"', "x\ty", " padded\t", "a,b"] as const;

function validRequest(random: Random): string {
  const method = random.pick(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"]);
  const target = random.pick(["/", "/a/b?c=d&e", "/%20;x=1", "http://shop/a", "/a//b"]);
  const headers = [`Host:${random.pick(["", " "])}shop`];
  for (let n = random.below(4); n > 0; n--) {
    headers.push(`${random.pick(TOKENS)}:${random.pick(["", " ", "\t"])}${random.pick(VALUES)}`);
  }
  const data = "d".repeat(random.below(30));
  let body = "";
  const form = random.below(3);
  if (form === 1) {
    headers.push(`${random.pick(["Content-Length", "content-length"])}: ${data.length}`);
    body = data;
  } else if (form === 2) {
    headers.push(`Transfer-Encoding: ${random.pick(["chunked", "Chunked"])}`);
    if (data.length > 0) {
      body += `${data.length.toString(16)}${random.pick(["", ";a", ";a=b"])}\r\n${data}\r\n`;
    }
    body += `0\r\n${random.pick(["", "", "X-Trailer: a\r\n"])}\r\n`;
  }
  return `${method} ${target} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n${body}`;
}

/** Where proxies have been led astray. */
const TRAPS = [
  "Content-Length: 3\r\n",
  "Content-Length: 3\r\nContent-Length: 4\r\n",
  "Content-Length: 03\r\n",
  "Content-Length: +3\r\n",
  "Content-Length: 3, 3\r\n",
  "Content-Length : 3\r\n",
  "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding : chunked\r\n",
  "Transfer-Encoding: chunked, identity\r\n",
  "Transfer-Encoding: identity\r\n",
  "Transfer-Encoding:\x0bchunked\r\n",
  "Transfer-Encoding: xchunked\r\n",
  "Transfer-Encoding\r\n",
  " folded\r\n",
  "A: b\n",
  "A: b\r\r\n",
  "A: b\0c\r\n",
  "\r\n",
  "Connection: close\r\n",
  "Expect: 100-continue\r\n",
] as const;

function mutated(random: Random, text: string): string {
  const at = random.below(text.length);
  switch (random.below(5)) {
    case 0:
      return text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
    case 1:
      return text.slice(0, at) + text.slice(at + 1);
    case 2:
      return text.slice(0, at) + random.pick(["\r", "\n", " ", ":", "0", ";"]) + text.slice(at);
    default: {
      const lineEnd = text.indexOf("\r\n", at);
      if (lineEnd === -1) return text;
      return text.slice(0, lineEnd + 2) + random.pick(TRAPS) + text.slice(lineEnd + 2);
    }
  }
}

const described = (bytes: Uint8Array): string => JSON.stringify(latin1(bytes));

function assertAlike(own: Reading, nodes: Reading, bytes: Uint8Array): void {
  const count = Math.min(own.messages.length, nodes.messages.length);
  const context = `${described(bytes)}\nown: ${JSON.stringify(own)}\nnode: ${JSON.stringify(nodes)}`;
  assert.deepEqual(own.messages.slice(0, count), nodes.messages.slice(0, count), context);
  // Who stopped before the other must have refused: else they do not agree where something ends.
  if (own.messages.length < nodes.messages.length) assert.equal(own.end, "refused", context);
  if (nodes.messages.length < own.messages.length) {
    const isRefused = nodes.end === "refused" || endsConnection(nodes.messages.at(-1));
    assert.ok(isRefused, context);
  }
}

/** Node reads nothing after a request that closes the connection. */
const endsConnection = (message: Message | undefined): boolean =>
  message?.headers.some((header) => /^connection:.*close/i.test(header)) ?? false;

test("valid requests, pipelined and in random pieces, are read as node:http reads them", async () => {
  const random = new Random(11);
  for (let i = 0; i < 300; i++) {
    const text = Array.from({ length: 1 + random.below(3) }, () => validRequest(random)).join("");
    const bytes = fromLatin1(text);
    const pieces = random.pieces(bytes, random.pick([1, 7, 1000]));
    const own = ownRequests(pieces);
    assert.equal(own.end, "all", described(bytes));
    const nodes = await nodeRequests(pieces);
    assert.deepEqual(own, nodes, described(bytes));
  }
});

test("one request is read as node:http reads it, cut at every byte", async () => {
  const bytes = fromLatin1(
    "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nT: 1\r\n\r\n",
  );
  const expected = await nodeRequests([bytes]);
  assert.equal(expected.messages.length, 1);
  for (let at = 1; at < bytes.length; at++) {
    assert.deepEqual(ownRequests([bytes.slice(0, at), bytes.slice(at)]), expected);
  }
});

test("of spoilt requests nothing is read that node:http reads otherwise", async () => {
  const random = new Random(12);
  const ends = { all: 0, incomplete: 0, refused: 0 };
  for (let i = 0; i < 1500; i++) {
    let text = validRequest(random);
    for (let n = 1 + random.below(2); n > 0; n--) text = mutated(random, text);
    const bytes = fromLatin1(text + validRequest(random));
    const own = ownRequests([bytes]);
    assertAlike(own, await nodeRequests([bytes]), bytes);
    ends[own.end] += 1;
  }
  // The generator reaches all of it.
  assert.ok(ends.all > 100 && ends.refused > 100, JSON.stringify(ends));
});

test("responses are read as node:http reads them", async () => {
  const random = new Random(13);
  let bytes: Uint8Array = new Uint8Array(0);
  raw.on("connection", (socket) => {
    socket.on("error", () => undefined);
    socket.once("data", () => socket.end(bytes));
  });
  const rawPort = (raw.address() as net.AddressInfo).port;
  const nodes = (method: string): Promise<Message | "refused" | "incomplete"> =>
    new Promise((resolve) => {
      const request = http.request({ port: rawPort, host: "127.0.0.1", method, agent: false });
      request.once("error", () => resolve("refused"));
      request.once("upgrade", (_, socket) => {
        socket.destroy();
        resolve("refused");
      });
      request.once("response", (response) => {
        bodyOf(response).then(
          (body) =>
            resolve({
              start: `${response.statusCode}`,
              headers: rawPairs(response.rawHeaders),
              body,
            }),
          () => resolve("incomplete"),
        );
      });
      request.end();
    });
  let both = 0;
  for (let i = 0; i < 800; i++) {
    const method = random.pick(["GET", "GET", "HEAD"]);
    const status = random.pick(["200 OK", "200", "204 No Content", "304 Not Modified", "404 x"]);
    const framing = random.pick(["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"]);
    const hasBody = method !== "HEAD" && !/^(204|304)/.test(status);
    const body = framing.startsWith("T") ? "5\r\nhello\r\n0\r\n\r\n" : "hello";
    const interim = random.pick(["", "", "HTTP/1.1 100 Continue\r\n\r\n"]);
    let text = `HTTP/1.1 ${status}\r\nServer: x\r\n${framing}\r\n${hasBody ? body : ""}`;
    const isSpoilt = random.chance(0.6);
    if (isSpoilt) text = mutated(random, text);
    bytes = fromLatin1(interim + text);
    const own = ownResponse(bytes, method);
    const other = await nodes(method);
    if (!isSpoilt) assert.ok(typeof own === "object", described(bytes));
    if (typeof own === "object" && typeof other === "object" && !own.isCautious) {
      assert.deepEqual(
        { ...own, isCautious: undefined },
        { ...other, isCautious: undefined },
        described(bytes),
      );
      both += 1;
    }
    if (own === "incomplete") assert.ok(typeof other !== "object", described(bytes));
  }
  assert.ok(both > 200, `${both}`);
});
