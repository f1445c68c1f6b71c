/** What is copied of a connection, node:http reads as it reads the same requests among the others. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import * as net from "node:net";
import { after, test } from "node:test";
import { fromLatin1, latin1, RequestCopier } from "../src/index.ts";
import { Random } from "./support/random.ts";

const seen = new Map<net.Socket, string[]>();
const server = http.createServer({ requireHostHeader: false }, (request, response) => {
  let body = "";
  request.setEncoding("latin1");
  request.on("data", (text: string) => {
    body += text;
  });
  request.on("error", () => undefined);
  request.on("end", () => {
    seen.get(request.socket as net.Socket)?.push(`${request.method} ${request.url} ${body}`);
    response.end();
  });
});
server.on("connection", (socket) => seen.set(socket, []));
let refused = 0;
server.on("clientError", (_, socket) => {
  refused += 1;
  socket.destroy();
});
await once(server.listen(0, "127.0.0.1"), "listening");
const { port } = server.address() as net.AddressInfo;
after(() => {
  server.close();
  server.closeAllConnections();
});

/** Requests that came whole. */
async function nodes(bytes: Uint8Array): Promise<string[]> {
  const accepted = once(server, "connection");
  const socket = net.connect({ port, host: "127.0.0.1" });
  socket.on("error", () => undefined);
  const [own] = (await accepted) as [net.Socket];
  const closed = new Promise((resolve) => own.once("close", resolve));
  socket.end(bytes);
  socket.resume();
  await closed;
  const found = seen.get(own) ?? [];
  seen.delete(own);
  return found;
}

const isMine = (target: string): boolean => target.startsWith("/mine");

function copied(pieces: readonly Uint8Array[]): Uint8Array {
  const copier = new RequestCopier<"me">({
    wants: ({ target }) => (isMine(target) ? ["me"] : []),
    wantsWithBody: () => [],
  });
  const events = [...pieces.flatMap((piece) => copier.bytes(piece)), ...copier.end()];
  return Buffer.concat(events.flatMap((event) => (event.kind === "copy" ? [event.bytes] : [])));
}

function request(random: Random, number: number): string {
  const target = `/${random.pick(["mine", "other"])}/${number}`;
  const data = random.pick(["", "GET /mine HTTP/1.1\r\n\r\n", "\r\n0\r\n\r\n", "abc".repeat(9)]);
  const start = `${random.pick(["POST", "PUT", "PATCH"])} ${target} HTTP/1.1\r\nHost: a\r\n`;
  if (random.chance(0.5)) return `${start}Content-Length: ${data.length}\r\n\r\n${data}`;
  const chunk = data === "" ? "" : `${data.length.toString(16)};x\r\n${data}\r\n`;
  return `${start}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n${random.pick(["", "T: 1\r\n"])}\r\n`;
}

const ofMine = (messages: readonly string[]): string[] =>
  messages.filter((message) => isMine(message.split(" ")[1] ?? ""));

test("of valid requests in any pieces those that match are copied, and read the same", async () => {
  const random = new Random(41);
  for (let round = 0; round < 150; round++) {
    const text = Array.from({ length: 1 + random.below(6) }, (_, each) => request(random, each));
    const bytes = fromLatin1(text.join(""));
    const copies = copied(random.pieces(bytes, random.pick([1, 7, 1000])));
    const whole = await nodes(bytes);
    assert.equal(whole.length, text.length, JSON.stringify(latin1(bytes)));
    assert.deepEqual(await nodes(copies), ofMine(whole), JSON.stringify(latin1(bytes)));
  }
});

test("of spoilt requests nothing is copied whole that node:http reads otherwise among the others", async () => {
  const random = new Random(42);
  let count = 0;
  for (let round = 0; round < 400; round++) {
    const text = Array.from({ length: 3 }, (_, each) => request(random, each)).join("");
    const at = random.below(text.length);
    const spoilt =
      text.slice(0, at) +
      random.pick(["", "\r", "\n", " ", ":", "0", "\0", "Content-Length: 3\r\n"]) +
      text.slice(at + random.below(2));
    const bytes = fromLatin1(spoilt);
    const own = await nodes(copied(random.pieces(bytes, 40)));
    refused = 0;
    const whole = ofMine(await nodes(bytes));
    // It knows some methods only, and reads nothing behind another one.
    const both = refused > 0 ? Math.min(own.length, whole.length) : own.length;
    assert.deepEqual(own.slice(0, both), whole.slice(0, both), JSON.stringify(spoilt));
    count += both;
  }
  assert.ok(count > 200, String(count));
});
