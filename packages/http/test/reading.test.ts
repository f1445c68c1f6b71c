/** What somebody sees who looks on: the requests of a client's bytes, in any pieces. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http2 from "node:http2";
import * as net from "node:net";
import { test } from "node:test";
import {
  ConnectionReader,
  fromLatin1,
  HTTP2_PREFACE,
  latin1,
  type ReadEvent,
} from "../src/index.ts";
import { Random } from "./support/random.ts";

/** Lines, bodies and bytes joined, as a person would read them. */
function read(
  pieces: readonly Uint8Array[],
  atEnd: (reader: ConnectionReader) => ReadEvent[] = (reader) => reader.end(),
): string[] {
  const reader = new ConnectionReader();
  const lines: string[] = [];
  const bodies = new Map<number, string>();
  let raw = "";
  const flush = (): void => {
    if (raw !== "") lines.push(`bytes ${raw}`);
    raw = "";
  };
  const take = (events: readonly ReadEvent[]): void => {
    for (const event of events) {
      if (event.kind === "bytes") {
        raw += latin1(event.bytes);
        continue;
      }
      flush();
      if (event.kind === "note") lines.push(`note ${event.why}`);
      else if (event.kind === "body")
        bodies.set(event.id, (bodies.get(event.id) ?? "") + latin1(event.bytes));
      else if (event.kind === "request") {
        const { version, method, target, headers } = event.request;
        lines.push(
          `${event.id} ${method} ${target} ${version} ${headers.map(({ name, value }) => `${name}=${value}`).join(";")}`,
        );
      } else
        lines.push(
          `${event.id} ${event.how} ${bodies.get(event.id) ?? ""}${event.trailers.map(({ name, value }) => ` ${name}=${value}`).join("")}`,
        );
    }
  };
  for (const piece of pieces) take(reader.push(piece));
  take(atEnd(reader));
  flush();
  return lines;
}

function same(text: string | Uint8Array, expected: readonly string[]): void {
  const bytes = typeof text === "string" ? fromLatin1(text) : text;
  const random = new Random(7);
  assert.deepEqual(read([bytes]), expected);
  for (const longest of [1, 1, 2, 9, 500])
    assert.deepEqual(read(random.pieces(bytes, longest)), expected);
}

test("each request of a kept connection is told with its body, chunk sizes left out", () => {
  same(
    "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello\r\nPUT /d HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\nGET /e HTTP/1.0\r\n\r\nmore",
    [
      "1 GET /a?b 1.1 host=x",
      "1 whole ",
      "2 POST /c 1.1 content-length=5",
      "2 whole hello",
      "3 PUT /d 1.1 transfer-encoding=chunked",
      "3 whole abcde",
      "4 GET /e 1.0 ",
      "4 whole ",
    ],
  );
});

test("what ends early is told as unfinished, and a head that has only begun as its bytes", () => {
  same("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf", [
    "1 POST / 1.1 content-length=9",
    "1 unfinished half",
  ]);
  same("GET / HTTP/1.1\r\nA: b\r\n", ["bytes GET / HTTP/1.1\r\nA: b\r\n"]);
});

test("what can be read in more than one way is bytes from there on, with the reason", () => {
  same("GET / HTTP/1.1\r\nA : b\r\n\r\nrest", [
    "note what follows is not read as HTTP: not a header's name",
    "bytes GET / HTTP/1.1\r\nA : b\r\n\r\nrest",
  ]);
  same("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\naXX", [
    "1 PUT / 1.1 transfer-encoding=chunked",
    "1 unfinished a",
    "note what follows is not read as HTTP: no CR LF after a chunk",
    "bytes XX",
  ]);
});

test("behind an Upgrade its first bytes tell what follows, behind CONNECT nobody looks", () => {
  const head = "GET /ws HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
  const lines = ["1 GET /ws 1.1 connection=upgrade;upgrade=x", "1 whole "];
  same(`${head}\x81\x05hello`, [...lines, "bytes \x81\x05hello"]);
  same(`${head}GET /next HTTP/1.1\r\n\r\n`, [...lines, "2 GET /next 1.1 ", "2 whole "]);
  same("CONNECT a:1 HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", [
    "1 CONNECT a:1 1.1 ",
    "1 whole ",
    "note what follows is not read as HTTP: what follows CONNECT",
    "bytes GET / HTTP/1.1\r\n\r\n",
  ]);
});

test("TLS is one line, other protocols are bytes, and a client that waits is decided about by a deadline", () => {
  same("\x16\x03\x01\x00\x50\x01more", ["note TLS: only whom it is meant for can read it"]);
  same("\0\0\0\x08\x04\xd2\x16\x2f", ["bytes \0\0\0\x08\x04\xd2\x16\x2f"]);
  assert.deepEqual(
    read([fromLatin1("QUIT")], (reader) => {
      assert.ok(reader.isUndecided);
      return [...reader.decide(), ...reader.push(fromLatin1("\r\n")), ...reader.end()];
    }),
    ["bytes QUIT\r\n"],
  );
});

function frame(type: number, flags: number, stream: number, payload = ""): Uint8Array {
  const { length } = payload;
  const header = [length >> 16, (length >> 8) & 255, length & 255, type, flags, 0, 0, 0, stream];
  return Uint8Array.from([...header, ...fromLatin1(payload)]);
}
const text = (value: string): string => `${String.fromCharCode(value.length)}${value}`;
/** POST, http and a path without HPACK's table. */
const post = (path: string): string => `\x83\x86\x04${text(path)}`;
const h2 = (...frames: readonly Uint8Array[]): Uint8Array =>
  Buffer.concat([HTTP2_PREFACE, frame(4, 0, 0), ...frames]);

test("streams of HTTP/2 are told apart; padding, priorities and frames that nobody knows are none of the body", () => {
  same(
    h2(
      frame(1, 0x24, 1, `\0\0\0\0\x10${post("/one")}`),
      frame(1, 0, 3, post("/t")),
      frame(9, 4, 3, `\x40${text("x-a")}${text("b")}`),
      frame(0, 8, 1, "\x03abc\0\0\0"),
      frame(0, 0, 3, "y".repeat(300)),
      frame(0xf0, 0, 0, "what nobody knows"),
      frame(0, 1, 1, "def"),
      frame(1, 5, 3, `\x00${text("grpc-x")}${text("0")}`),
      frame(1, 4, 5, `${post("/r")}\xbe`),
      frame(3, 0, 5, "\0\0\0\x08"),
      frame(1, 4, 7, post("/open")),
      frame(0, 8, 7, "\x00z"),
    ),
    [
      "1 POST /one 2 ",
      "2 POST /t 2 x-a=b",
      "1 whole abcdef",
      `2 whole ${"y".repeat(300)} grpc-x=0`,
      "3 POST /r 2 x-a=b",
      "3 reset ",
      "4 POST /open 2 ",
      "4 unfinished z",
    ],
  );
});

test("a table and frames larger than the usual are what the server may have allowed", () => {
  const long = "z".repeat(40_000);
  same(h2(frame(1, 4, 1, `\x3f\xe1\x7f${post("/")}`), frame(0, 1, 1, long)), [
    "1 POST / 2 ",
    `1 whole ${long}`,
  ]);
});

test("where the compression's state is lost nothing more is read, and it is said", () => {
  same(h2(frame(1, 4, 1, post("/")), frame(1, 5, 3, "\xff\xff\x7f"), frame(0, 1, 1, "x")), [
    "1 POST / 2 ",
    "1 unfinished ",
    "note nothing more of this connection can be read: an index that is not in the table",
  ]);
  same(
    h2(frame(1, 5, 1, `${post("/")}\x00${text("A")}${text("b")}`), frame(1, 5, 3, post("/next"))),
    [
      "note a request that is malformed is left out: a field with a name that is not allowed",
      "1 POST /next 2 ",
      "1 whole ",
    ],
  );
});

test("foreign bytes, also such that begin well, never throw, and mean the same in any pieces", () => {
  const random = new Random(11);
  const wellBegun = [
    h2(
      frame(1, 4, 1, post("/")),
      frame(0, 8, 1, "\x02ab\0\0"),
      frame(1, 1, 3, post("/x")),
      frame(9, 4, 3),
      frame(0, 1, 3, "q"),
    ),
    fromLatin1(
      "PUT /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    ),
  ];
  for (let round = 0; round < 600; round++) {
    const bytes = Uint8Array.from(random.pick(wellBegun));
    const from = random.chance(0.8) ? 24 : 0;
    for (let i = random.below(4); i >= 0; i--)
      bytes[from + random.below(bytes.length - from)] = random.below(256);
    const whole = read([bytes]);
    assert.deepEqual(read(random.pieces(bytes, random.pick([1, 3, 40]))), whole);
  }
});

test("what node:http2 sends is read as its server reads it", async () => {
  const server = http2.createServer();
  const heard: string[] = [];
  server.on("stream", (stream, headers) => {
    let length = 0;
    stream.on("data", (bytes: Buffer) => {
      length += bytes.length;
    });
    stream.on("end", () => {
      heard.push(`${headers[":path"]} ${headers["x-n"]} ${length}`);
      stream.respond({ ":status": 200 }, { endStream: true });
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as net.AddressInfo;
  const reader = new ConnectionReader();
  const seen: string[] = [];
  const requests = new Map<number, { path: string; n: string; length: number }>();
  const proxy = net.createServer((client) => {
    const upstream = net.connect(port, "127.0.0.1");
    client.on("data", (bytes) => {
      for (const event of reader.push(bytes)) {
        if (event.kind === "request")
          requests.set(event.id, {
            path: event.request.target,
            n: event.request.headers.find(({ name }) => name === "x-n")?.value ?? "",
            length: 0,
          });
        const of = "id" in event ? requests.get(event.id) : undefined;
        if (event.kind === "body" && of) of.length += event.bytes.length;
        if (event.kind === "end" && of) seen.push(`${of.path} ${of.n} ${of.length}`);
      }
      upstream.write(bytes);
    });
    upstream.pipe(client);
    client.on("close", () => upstream.destroy());
    client.on("error", () => upstream.destroy());
  });
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const session = http2.connect(`http://127.0.0.1:${(proxy.address() as net.AddressInfo).port}`);
  const ends: Promise<unknown>[] = [];
  for (let n = 0; n < 40; n++) {
    const stream = session.request({ ":path": `/${n % 7}`, ":method": "POST", "x-n": String(n) });
    stream.resume();
    stream.end(Buffer.alloc(n * 1000));
    ends.push(once(stream, "close"));
  }
  await Promise.all(ends);
  session.close();
  await once(session, "close");
  proxy.close();
  server.close();
  assert.deepEqual(seen.sort(), heard.sort());
  assert.equal(seen.length, 40);
});
