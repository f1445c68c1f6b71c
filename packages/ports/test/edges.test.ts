/** Ports at the edge: what comes there is foreign, and nothing of it may end this process or stay for ever. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { type TestContext, test } from "node:test";
import { splice } from "@inpod/session";
import { begun } from "../../session/test/support.ts";
import { Nobody } from "../src/exposed-nobody.ts";
import { ExposedPort, serveProxy, TcpPort, UdpPort } from "../src/index.ts";

const LIMIT = { timeout: 120_000 };

/** A server of the target that answers each connection with the same, after the first bytes of it. */
async function answering(
  t: TestContext,
  answer: string,
): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = [];
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", (bytes) => {
      asked.push(bytes.toString("latin1"));
      socket.end(answer, "latin1");
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, asked };
}

/** A proxy into a target that reaches this machine's loopback. */
async function proxy(t: TestContext, headMs?: number) {
  const { agent, session } = await begun(t);
  agent.onStream = (channel) => {
    const { header } = channel;
    if (header.kind !== "tcp") return channel.reset("EINVAL");
    const socket = connect({ host: header.host, port: header.port, allowHalfOpen: true });
    socket.once("connect", () => {
      const end = { address: "127.0.0.1", port: socket.localPort ?? 0 };
      channel.accept({ kind: "tcp", local: end, peer: end });
    });
    splice(socket, channel);
  };
  const port = await TcpPort.listen({ address: "127.0.0.1", port: 0 });
  const failures: string[] = [];
  const open = new Set<Socket>();
  const watched = {
    serve: (onSocket: (socket: Socket) => void) =>
      port.serve((socket) => {
        open.add(socket);
        socket.once("close", () => open.delete(socket));
        onSocket(socket);
      }),
  };
  const serving = serveProxy(watched as TcpPort, {
    reach: session,
    headMs,
    onFailure: (_, { errno }) => failures.push(errno),
  });
  t.after(() => {
    serving.close();
    port.close();
  });
  return { port: port.port, failures, open };
}

/** All that is answered until the other end is over. */
async function ask(t: TestContext, port: number, words: string): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  t.after(() => socket.destroy());
  let all = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    all += text;
  });
  socket.write(words, "latin1");
  await once(socket, "end");
  return all;
}

const get = (port: number, version = "1.1", fields = "Host: x\r\n"): string =>
  `GET http://127.0.0.1:${port}/ HTTP/${version}\r\n${fields}Connection: close\r\n\r\n`;

test(
  "a status line that nobody may write is a bad gateway, and the proxy goes on",
  LIMIT,
  async (t) => {
    const { port, failures } = await proxy(t);
    const good = await answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (const line of ["HTTP/1.1 000 x", "HTTP/1.1 099 x", "HTTP/1.1 200 a\x01b"]) {
      const bad = await answering(t, `${line}\r\nContent-Length: 0\r\n\r\n`);
      assert.match(await ask(t, port, get(bad.port)), /^HTTP\/1.1 502 .*is no HTTP: /s);
      assert.match(await ask(t, port, get(good.port)), /^HTTP\/1.1 200 .*\r\n\r\nok$/s);
    }
    assert.deepEqual(failures, ["EPROTO", "EPROTO", "EPROTO"]);
  },
);

test("a client of HTTP/1.0 gets no chunks, and its request a host", LIMIT, async (t) => {
  const { port } = await proxy(t);
  const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
  const target = await answering(t, chunked);
  const answer = await ask(t, port, get(target.port, "1.0", ""));
  assert.match(answer, /\r\n\r\nok$/);
  assert.doesNotMatch(answer, /chunked/i);
  assert.match(target.asked[0] ?? "", new RegExp(`^Host: 127.0.0.1:${target.port}\r$`, "m"));
  assert.match(await ask(t, port, get(target.port)), /chunked\r\n.*\r\n2\r\nok\r\n0/is);
});

test("a connection that its server has ended is not used again", LIMIT, async (t) => {
  const { port } = await proxy(t);
  const target = await answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  const other = await answering(t, "HTTP/1.1 204 No\r\n\r\n");
  for (const round of [1, 2, 3]) {
    assert.match(await ask(t, port, get(target.port)), /ok$/);
    await ask(t, port, get(other.port)); // its end has come meanwhile
    assert.equal(target.asked.length, round);
  }
});

test("who sends half a head is told that it took too long", LIMIT, async (t) => {
  const { port } = await proxy(t, 200);
  assert.match(await ask(t, port, "GET http://orders/ HTTP/1.1\r\nHost: or"), /^HTTP\/1.1 408 /);
});

test(
  "a tunnel that comes to nothing ends with its client, whatever that has sent behind its wish",
  LIMIT,
  async (t) => {
    const { port, failures, open } = await proxy(t);
    const nobody = (await answering(t, "")).port;
    for (const wish of [
      "CONNECT no/such HTTP/1.1",
      "CONNECT 127.0.0.1:1 HTTP/1.1",
      `GET x:${nobody} HTTP/1.1\r\nUpgrade: a\r\nConnection: upgrade`,
    ]) {
      const client = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      client.resume().write(`${wish}\r\nHost: x\r\n\r\nwhat a client in a hurry sends at once`);
      await once(client, "end");
      client.end();
      const [ours] = open;
      if (ours !== undefined) await once(ours, "close");
      assert.equal(open.size, 0);
    }
    assert.deepEqual(failures, ["ECONNREFUSED"]);
  },
);

/** Accepts nothing: it stands still. */
async function stoppedServer(t: TestContext): Promise<number> {
  const script = `const s = require("net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 },
    () => console.log(s.address().port));`;
  const child: ChildProcess = spawn(process.execPath, ["-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
  child.kill("SIGSTOP");
  return Number(String(line));
}

test("whether somebody listens is known soon, also where nobody accepts", LIMIT, async (t) => {
  const port = await stoppedServer(t);
  const waiting = Array.from({ length: 4 }, () => connect({ port, host: "127.0.0.1" }));
  for (const each of waiting) t.after(() => each.destroy());
  await Promise.all(waiting.slice(0, 2).map((each) => once(each, "connect")));
  const exposed = new ExposedPort({ port, way: "steal", nobodyText: "" });
  assert.equal(await exposed.isListening(), true);
});

test(
  "a client that never ends its request does not stay where nobody listens",
  LIMIT,
  async (t) => {
    const { agent, session } = await begun(t);
    const nobody = new Nobody("nobody listens\n", 300);
    await session.steal(80, (channel) => nobody.meet(channel));
    const ends = {
      client: { address: "198.18.0.9", port: 4000 },
      local: { address: "198.18.0.2", port: 80 },
    };
    const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n";
    const http2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for (const words of ["GET / HTTP/1.1\r\nHost:", head, http2]) {
      const client = agent.tunnel.open({ kind: "incoming", ...ends });
      const isReset = new Promise((resolve) => {
        client.onReset = resolve;
      });
      client.write(Buffer.from(words, "latin1"));
      assert.equal(await isReset, "ECONNRESET", words);
    }
  },
);

/** One datagram whose source port is 0, as RFC 768 has it of who wants no answer. Sockets have no such port. */
const FROM_NOWHERE = `
import socket, struct, sys
to = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
to.sendto(struct.pack("!HHHH", 0, int(sys.argv[1]), 9, 0) + b"x", ("127.0.0.1", 0))
`;
const needs =
  process.geteuid?.() !== 0
    ? "needs root"
    : spawnSync("python3", ["--version"]).status !== 0 && "needs python3";

test("a datagram from port 0 is answered to nobody", { ...LIMIT, skip: needs }, async (t) => {
  const port = await UdpPort.bind({ address: "127.0.0.1", port: 0 });
  t.after(() => port.close());
  const came = new Promise<number>((resolve) => {
    port.serve((_, from, answer) => {
      answer(Buffer.from("for whom?"));
      resolve(from.port);
    });
  });
  spawnSync("python3", ["-c", FROM_NOWHERE, String(port.port)], { stdio: "inherit" });
  assert.equal(await came, 0);
});
