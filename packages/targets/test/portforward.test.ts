import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type Server } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { ApiError } from "../src/kubernetes/reach/api-errors.ts";
import type { Access } from "../src/kubernetes/reach/kubeconfig.ts";
import { dialPod, PortForwardError } from "../src/kubernetes/reach/portforward.ts";
import { dataHeader, SpdyReader } from "../src/kubernetes/reach/spdy-frames.ts";

const PORT = 61337;
const folder = mkdtempSync(join(tmpdir(), "inpod-pf-"));
after(() => rmSync(folder, { recursive: true }));
execFileSync(
  "openssl",
  [
    ..."req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost".split(
      " ",
    ),
    ..."-addext subjectAltName=IP:127.0.0.1 -keyout".split(" "),
    join(folder, "key"),
    "-out",
    join(folder, "cert"),
  ],
  { stdio: "ignore" },
);
const key = readFileSync(join(folder, "key"));
const cert = readFileSync(join(folder, "cert"));

/** A server's frame: unmasked, final, binary unless told. */
function frame(payload: Buffer, opcode = 2): Buffer {
  const length = payload.length;
  const head = Buffer.alloc(length < 126 ? 2 : length < 65536 ? 4 : 10);
  head[0] = 0x80 | opcode;
  head[1] = length < 126 ? length : length < 65536 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  if (head.length === 10) head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}
const onChannel = (channel: number, payload: Buffer | string) =>
  frame(Buffer.concat([Buffer.of(channel), Buffer.from(payload)]));
const ports = Buffer.concat([
  onChannel(0, Buffer.of(PORT & 255, PORT >> 8)),
  onChannel(1, Buffer.of(PORT & 255, PORT >> 8)),
]);

/** Client frames of binary data, unmasked, without their channel byte if they have one; whole frames only. */
class Reader {
  readonly #channelBytes: number;
  #rest = Buffer.alloc(0);
  masks: Buffer[] = [];
  opcodes: number[] = [];
  constructor(channelBytes = 1) {
    this.#channelBytes = channelBytes;
  }
  push(bytes: Buffer): Buffer {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const data: Buffer[] = [];
    while (this.#rest.length >= 2) {
      const short = (this.#rest[1] ?? 0) & 127;
      const at = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (this.#rest.length < at + 4) break;
      const length =
        short < 126
          ? short
          : short === 126
            ? this.#rest.readUInt16BE(2)
            : Number(this.#rest.readBigUInt64BE(2));
      if (this.#rest.length < at + 4 + length) break;
      const mask = this.#rest.subarray(at, at + 4);
      const payload = Buffer.from(this.#rest.subarray(at + 4, at + 4 + length)).map(
        (byte, index) => byte ^ (mask[index & 3] ?? 0),
      );
      const opcode = (this.#rest[0] ?? 0) & 15;
      this.opcodes.push(opcode);
      this.masks.push(Buffer.from(mask));
      if (opcode === 2) {
        if (this.#channelBytes > 0) assert.equal(payload[0], 0, "data channel");
        data.push(Buffer.from(payload.subarray(this.#channelBytes)));
      }
      this.#rest = this.#rest.subarray(at + 4 + length);
    }
    return Buffer.concat(data);
  }
}

interface Setup {
  /** Which of those that are offered; undefined: channels. */
  readonly subprotocol?: string;
  readonly isEncrypted?: boolean;
  readonly onUpgrade?: (socket: Duplex) => void;
  readonly answer?: { status: number; body: string };
}

async function serve(setup: Setup) {
  const server: Server =
    setup.isEncrypted === false ? createHttpServer() : createHttpsServer({ key, cert });
  const requests: string[] = [];
  const offered: string[] = [];
  const sockets = new Set<Duplex>();
  server.on("upgrade", (request, socket: Duplex) => {
    sockets.add(socket);
    requests.push(`${request.method} ${request.url} ${request.headers.authorization}`);
    offered.push(String(request.headers["sec-websocket-protocol"]));
    if (setup.answer !== undefined) {
      const { status, body } = setup.answer;
      socket.end(
        `HTTP/1.1 ${status} x\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`,
      );
      return;
    }
    const accept = createHash("sha1")
      .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest("base64");
    socket.write(
      `HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${setup.subprotocol ?? "v4.channel.k8s.io"}\r\n\r\n`,
    );
    socket.on("error", () => {});
    setup.onUpgrade?.(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const scheme = setup.isEncrypted === false ? "http" : "https";
  const access: Access = {
    server: new URL(`${scheme}://127.0.0.1:${port}/prefix/`),
    contextName: "test",
    namespace: "shop",
    proxy: undefined,
    credentials: async () => ({
      tls: { ca: cert },
      headers: { Authorization: "Bearer secret" },
    }),
    forgetLogin: () => false,
  };
  const api = new ApiClient(access);
  return {
    requests,
    offered,
    dial: () =>
      dialPod(api, { namespace: "shop", pod: "orders", port: PORT }, AbortSignal.timeout(60_000)),
    close: () => {
      api.close();
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

test("SPDY is wished, and channels where that is not known", async () => {
  const server = await serve({ onUpgrade: (socket) => socket.write(ports) });
  try {
    (await server.dial()).destroy();
    assert.deepEqual(server.offered, ["SPDY/3.1+portforward.k8s.io, v4.channel.k8s.io"]);
  } finally {
    server.close();
  }
});

test("a server that chooses something else is told apart from one that cannot be reached", async () => {
  const server = await serve({ subprotocol: "v5.channel.k8s.io" });
  try {
    await assert.rejects(server.dial(), /does not speak v4\.channel\.k8s\.io/);
  } finally {
    server.close();
  }
});

test("the request is the API server's, with its path prefix and the login", async () => {
  const server = await serve({ onUpgrade: (socket) => socket.write(ports) });
  try {
    (await server.dial()).destroy();
    assert.deepEqual(server.requests, [
      `GET /prefix/api/v1/namespaces/shop/pods/orders/portforward?ports=${PORT} Bearer secret`,
    ]);
  } finally {
    server.close();
  }
});

/** Writes so many bytes, of which the other end sends each back. */
async function assertEchoed(stream: Duplex, size: number): Promise<void> {
  const sent = Buffer.alloc(size, "abcdefghijklmnopqrstuvwxyz0123456789");
  stream.cork();
  for (let at = 0; at < sent.length; at += 70_000) stream.write(sent.subarray(at, at + 70_000));
  stream.uncork();
  const got: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    got.push(chunk);
    length += chunk.length;
    if (length === sent.length) break;
  }
  assert.ok(Buffer.concat(got).equals(sent));
}

for (const isEncrypted of [true, false])
  test(`bytes come back as they went, over ${isEncrypted ? "TLS with a mask of zeros" : "TCP with random masks"}`, async () => {
    const reader = new Reader();
    const server = await serve({
      isEncrypted,
      onUpgrade: (socket) => {
        socket.write(ports);
        socket.on("data", (bytes: Buffer) => {
          const data = reader.push(bytes);
          if (data.length > 0) socket.write(onChannel(0, data));
        });
      },
    });
    try {
      const stream = await server.dial();
      await assertEchoed(stream, 700_000);
      const zeros = reader.masks.filter((mask) => mask.equals(Buffer.alloc(4))).length;
      assert.equal(zeros, isEncrypted ? reader.masks.length : 0);
      stream.destroy();
    } finally {
      server.close();
    }
  });

test("over SPDY bytes come back as they went, and up they are full frames, a message each", async () => {
  const messages = new Reader(0);
  const frames = new SpdyReader();
  const lengths: number[] = [];
  const server = await serve({
    subprotocol: "SPDY/3.1+portforward.k8s.io",
    onUpgrade: (socket) => {
      socket.on("data", (bytes: Buffer) => {
        const inside = messages.push(bytes);
        for (const event of frames.push(inside)) {
          if (event.kind !== "data") continue;
          assert.equal(event.stream, 3);
          lengths.push(event.bytes.length);
          const echo = Buffer.concat([dataHeader(3, event.bytes.length), event.bytes]);
          // What a message ends with has nothing to do with where a frame ends.
          socket.write(Buffer.concat([frame(echo.subarray(0, 5)), frame(echo.subarray(5))]));
        }
      });
    },
  });
  try {
    const stream = await server.dial();
    await assertEchoed(stream, 1024 * 1024);
    assert.deepEqual(lengths, Array(32).fill(32 * 1024));
    assert.equal(messages.opcodes.length, 1 + 32, "both streams' opening in one message");
    stream.destroy();
  } finally {
    server.close();
  }
});

test("that nothing listens is an error over SPDY too, though the data's end comes first", async () => {
  const text = "dial tcp4 127.0.0.1:61337: connect: connection refused";
  const server = await serve({
    subprotocol: "SPDY/3.1+portforward.k8s.io",
    onUpgrade: (socket) =>
      socket.write(
        Buffer.concat([
          frame(Buffer.from(dataHeader(3, 0, true))),
          frame(Buffer.concat([dataHeader(1, text.length), Buffer.from(text)])),
          frame(Buffer.from(dataHeader(1, 0, true))),
        ]),
      ),
  });
  try {
    const stream = await server.dial();
    const [error] = await once(stream, "error");
    assert.ok(error instanceof PortForwardError);
    assert.equal(error.isRefused, true);
    await assert.rejects(stream.answered, PortForwardError);
  } finally {
    server.close();
  }
});

test("the pod's end over SPDY is an end", async () => {
  const server = await serve({
    subprotocol: "SPDY/3.1+portforward.k8s.io",
    onUpgrade: (socket) =>
      socket.write(
        frame(
          Buffer.concat([
            dataHeader(3, 5),
            Buffer.from("hello"),
            dataHeader(3, 0, true),
            dataHeader(1, 0, true),
          ]),
        ),
      ),
  });
  try {
    const stream = await server.dial();
    assert.equal(Buffer.concat(await stream.toArray()).toString(), "hello");
  } finally {
    server.close();
  }
});

test("an answer that comes one byte at a time is the same answer", async () => {
  const server = await serve({
    onUpgrade: (socket) => {
      for (const byte of Buffer.concat([ports, onChannel(0, "hello"), frame(Buffer.alloc(0), 8)]))
        socket.write(Buffer.of(byte));
    },
  });
  try {
    const stream = await server.dial();
    const got = await stream.toArray();
    assert.equal(Buffer.concat(got).toString(), "hello");
  } finally {
    server.close();
  }
});

test("that nothing listens in the pod is an error that says so", async () => {
  const server = await serve({
    onUpgrade: (socket) =>
      socket.write(
        Buffer.concat([
          ports,
          onChannel(1, "dial tcp4 127.0.0.1:61337: connect: connection refused"),
        ]),
      ),
  });
  try {
    const stream = await server.dial();
    const [error] = await once(stream, "error");
    assert.ok(error instanceof PortForwardError);
    assert.equal(error.isRefused, true);
    assert.equal(error.message, 'port 61337 of pod "orders": connection refused');
    await assert.rejects(stream.answered, PortForwardError);
  } finally {
    server.close();
  }
});

test("a connection that is cut, breaks the protocol or ends with a bad code is an error, never an end", async () => {
  for (const [send, words] of [
    [(socket: Duplex) => socket.end(ports), /the connection was cut/],
    [(socket: Duplex) => socket.write(Buffer.of(0xf2, 0)), /broken WebSocket/],
    [(socket: Duplex) => socket.write(onChannel(7, "x")), /broken WebSocket: channel 7/],
    [(socket: Duplex) => socket.write(onChannel(0, Buffer.of(1, 0))), /broken WebSocket: port 1 /],
    [
      (socket: Duplex) => socket.write(frame(Buffer.of(3, 0xf3), 8)),
      /closed by the server \(1011\)/,
    ],
  ] as const) {
    const server = await serve({ onUpgrade: send });
    try {
      const stream = await server.dial();
      const [error] = await once(stream, "error");
      assert.match(error.message, words);
    } finally {
      server.close();
    }
  }
});

test("a ping is answered with its payload", async () => {
  const reader = new Reader();
  let seen = () => {};
  const answered = new Promise<void>((resolve) => (seen = resolve));
  const server = await serve({
    onUpgrade: (socket) => {
      socket.write(frame(Buffer.from("p"), 9));
      socket.on("data", (bytes: Buffer) => {
        reader.push(bytes);
        if (reader.opcodes.includes(10)) seen();
      });
    },
  });
  try {
    const stream = await server.dial();
    await answered;
    stream.destroy();
  } finally {
    server.close();
  }
});

/** That nothing more happens has no event: `count` must stand still for this long. */
async function untilQuiet(count: () => number): Promise<void> {
  for (let before = -1; before !== count(); await delay(250)) before = count();
}

test("a reader that stops stops the server, and a server that stops stops the writer", async () => {
  const CHUNKS = 2000;
  /** 60 kB each; the kernel's own buffers take some MB. */
  const ENOUGH = 400;
  let sent = 0;
  const chunk = onChannel(0, Buffer.alloc(60_000));
  const server = await serve({
    onUpgrade: (socket) => {
      socket.pause();
      socket.write(ports);
      const pump = () => {
        while (sent < CHUNKS) {
          sent++;
          if (!socket.write(chunk)) return;
        }
      };
      socket.on("drain", pump);
      pump();
    },
  });
  try {
    const stream = await server.dial();
    let written = 0;
    const write = () => {
      while (written < CHUNKS) {
        written++;
        if (!stream.write(Buffer.alloc(60_000))) return;
      }
    };
    stream.on("drain", write);
    write();
    await untilQuiet(() => sent + written);
    assert.ok(sent < ENOUGH, `${sent} chunks went out to somebody who does not read`);
    assert.ok(written < ENOUGH, `${written} chunks went out to a server that does not read`);
    assert.ok(stream.readableLength < 1_000_000 && stream.writableLength < 1_000_000);
    stream.destroy();
  } finally {
    server.close();
  }
});

test("an HTTP answer in the place of the upgrade is the API server's Status in words", async () => {
  const body = JSON.stringify({ kind: "Status", code: 403, message: 'pods "orders" is forbidden' });
  const server = await serve({ answer: { status: 403, body } });
  try {
    await assert.rejects(server.dial(), (error) => {
      assert.ok(error instanceof ApiError);
      assert.equal(error.status, 403);
      assert.equal(error.message, 'pods "orders" is forbidden');
      return true;
    });
  } finally {
    server.close();
  }
});

test("ending the writing side says so to the server and ends the connection", async () => {
  const reader = new Reader();
  const server = await serve({
    onUpgrade: (socket) => {
      socket.write(Buffer.concat([ports, onChannel(0, "last words")]));
      socket.on("data", (bytes: Buffer) => {
        reader.push(bytes);
        if (reader.opcodes.includes(8)) socket.end(frame(Buffer.of(3, 0xe8), 8));
      });
    },
  });
  try {
    const stream = await server.dial();
    stream.end();
    assert.equal(Buffer.concat(await stream.toArray()).toString(), "last words");
    assert.deepEqual(reader.opcodes, [8]);
  } finally {
    server.close();
  }
});
