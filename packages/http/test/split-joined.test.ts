/** The splitter between real clients and real servers of node:http, and under random bytes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import * as http from "node:http";
import * as net from "node:net";
import { after, test } from "node:test";
import { type Command, fromLatin1, latin1, type RequestHead, Splitter } from "../src/index.ts";
import { Random } from "./support/random.ts";

const DEADLINE_MS = 60_000;

type Name = "pod" | "mine";

const route = ({ headers }: RequestHead): Name =>
  headers.some(({ name, value }) => name === "x-user" && value === "mine") ? "mine" : "pod";

const options = { fallback: "pod" as Name, route, routeWithBody: route };

const servers: net.Server[] = [];

async function listen(server: net.Server): Promise<number> {
  servers.push(server);
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as net.AddressInfo).port;
}

after(() => {
  for (const server of servers) {
    server.close();
    if (server instanceof http.Server) server.closeAllConnections();
  }
});

/** Answers in all the ways there are, by the path, and always the same to the same request. */
function serve(name: Name): Promise<number> {
  const server = http.createServer((request, response) => {
    response.sendDate = false;
    let body = "";
    request.setEncoding("latin1");
    request.on("data", (chunk: string) => {
      body += chunk;
    });
    request.on("end", () => {
      const text = `${name} ${request.method} ${request.url} ${body}`;
      switch (request.url) {
        case "/chunked":
          response.write(text);
          response.write("more");
          response.end();
          return;
        case "/204":
          response.writeHead(204).end();
          return;
        case "/304":
          response.writeHead(304).end();
          return;
        case "/early":
          response.writeEarlyHints({ link: "</a>; rel=preload" });
          break;
        default:
          break;
      }
      response.setHeader("Content-Length", text.length);
      response.end(text);
    });
  });
  server.on("upgrade", (_, socket: net.Socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n",
    );
    socket.pipe(socket);
  });
  return listen(server);
}

/** The dull edge: sockets in, commands out. */
function edge(ports: Readonly<Record<Name, number>>): net.Server {
  return net.createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const splitter = new Splitter<Name>(options);
    const upstreams = new Map<number, net.Socket>();
    const run = (commands: readonly Command<Name>[]): void => {
      for (const command of commands) {
        switch (command.kind) {
          case "open": {
            const socket = net.connect({
              port: ports[command.to],
              host: "127.0.0.1",
              allowHalfOpen: true,
            });
            const id = command.upstream;
            upstreams.set(id, socket);
            socket.on("data", (bytes) => run(splitter.upstreamBytes(id, bytes)));
            socket.on("end", () => run(splitter.upstreamEnd(id)));
            socket.on("error", () => run(splitter.upstreamReset(id)));
            break;
          }
          case "send":
            upstreams.get(command.upstream)?.write(command.bytes);
            break;
          case "end":
            upstreams.get(command.upstream)?.end();
            break;
          case "reset":
            upstreams.get(command.upstream)?.destroy();
            break;
          case "reply":
            client.write(command.bytes);
            break;
          case "end-client":
            client.end();
            break;
          case "reset-client":
            client.resetAndDestroy();
            break;
          default:
            break;
        }
      }
    };
    client.on("data", (bytes) => run(splitter.clientBytes(bytes)));
    client.on("end", () => run(splitter.clientEnd()));
    client.on("error", () => run(splitter.clientReset()));
    client.on("close", () => {
      for (const socket of upstreams.values()) socket.destroy();
    });
  });
}

const ports = { pod: await serve("pod"), mine: await serve("mine") };
const front = await listen(edge(ports));

/** Everything that is answered to `pieces` until the other side ends. */
async function exchange(port: number, pieces: readonly Uint8Array[]): Promise<string> {
  const socket = net.connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
  const timer = setTimeout(() => socket.destroy(new Error("no end")), DEADLINE_MS);
  let answer = "";
  for (const piece of pieces) socket.write(piece);
  socket.end();
  for await (const bytes of socket) answer += latin1(bytes as Buffer);
  clearTimeout(timer);
  return answer;
}

function request(random: Random): { readonly text: string; readonly to: Name } {
  const to = random.pick(["pod", "mine"] as const);
  const headers = ["Host: a", ...(to === "mine" ? ["X-User: mine"] : [])];
  const method = random.pick(["GET", "GET", "HEAD", "POST"]);
  const path = random.pick(["/", "/chunked", "/204", "/304", "/early", "/x?y"]);
  const data = "d".repeat(random.below(50));
  let body = "";
  if (method === "POST") {
    if (random.chance(0.5)) {
      headers.push(`Content-Length: ${data.length}`);
      body = data;
    } else {
      headers.push("Transfer-Encoding: chunked");
      if (data.length > 0) body = `${data.length.toString(16)}\r\n${data}\r\n`;
      body += "0\r\n\r\n";
    }
  }
  return { text: `${method} ${path} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n${body}`, to };
}

test("pipelined requests to two servers are answered in order, byte for byte as each server does", async () => {
  const random = new Random(21);
  // Node tells the last answer of a connection by its header: a last request that is left out.
  const last = "GET /last HTTP/1.1\r\nHost: a\r\n\r\n";
  const withoutLast = (answer: string): string =>
    answer.slice(0, answer.lastIndexOf("HTTP/1.1 200 OK"));
  for (let i = 0; i < 60; i++) {
    const requests = Array.from({ length: 1 + random.below(6) }, () => request(random));
    let expected = "";
    for (const { text, to } of requests) {
      expected += withoutLast(await exchange(ports[to], [fromLatin1(text + last)]));
    }
    const all = fromLatin1(requests.map(({ text }) => text).join("") + last);
    const answer = await exchange(front, random.pieces(all, random.pick([1, 20, 5000])));
    assert.equal(withoutLast(answer), expected, latin1(all));
  }
});

test("one request of each kind is answered the same, cut at every byte", async () => {
  const text =
    "POST /chunked HTTP/1.1\r\nX-User: mine\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n" +
    "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const bytes = fromLatin1(text);
  const expected = await exchange(front, [bytes]);
  assert.match(expected, /mine POST \/chunked ab/);
  for (let at = 1; at < bytes.length; at += 1) {
    assert.equal(await exchange(front, [bytes.slice(0, at), bytes.slice(at)]), expected);
  }
});

test("an agent that keeps its connection reaches both servers over it", async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const sockets = new Set<net.Socket>();
  const ask = (path: string, headers: Record<string, string>): Promise<string> =>
    new Promise((resolve, reject) => {
      const sent = http.get(
        { port: front, host: "127.0.0.1", path, headers, agent },
        (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk) => {
            text += chunk;
          });
          response.on("end", () => resolve(text));
        },
      );
      sent.on("socket", (socket) => sockets.add(socket));
      sent.on("error", reject);
    });
  for (let i = 0; i < 5; i++) {
    assert.equal(await ask(`/${i}`, {}), `pod GET /${i} `);
    assert.equal(await ask("/chunked", { "X-User": "mine" }), "mine GET /chunked more");
  }
  assert.equal(sockets.size, 1);
  agent.destroy();
});

test("an upgraded connection is its destination's for good", async () => {
  const head =
    "GET / HTTP/1.1\r\nHost: a\r\nX-User: mine\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n";
  const answer = await exchange(front, [fromLatin1(head), fromLatin1("GET / HTTP/1.1\r\n\r\n")]);
  assert.match(answer, /^HTTP\/1.1 101 .*\r\n\r\nGET \/ HTTP\/1.1\r\n\r\n$/s);
});

test("ten megabytes pass both ways", async () => {
  const size = 10_000_000;
  const echo = await listen(
    http.createServer((from, to) => {
      to.writeHead(200, { "Content-Length": size });
      from.pipe(to);
    }),
  );
  const port = await listen(edge({ pod: echo, mine: ports.mine }));
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    const sent = http.request({ port, host: "127.0.0.1", method: "POST", agent: false }, resolve);
    sent.on("error", reject);
    sent.end(Buffer.alloc(size, "x"));
  });
  let length = 0;
  for await (const chunk of response) length += (chunk as Buffer).length;
  assert.equal(length, size);
});

test("whatever comes, what is sent on is what came, in its order, and so are the replies", () => {
  const random = new Random(22);
  const responses = [
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 204 x\r\n\r\n",
    "0\r\n",
    "HTTP/1.1 101 x\r\n\r\n",
  ];
  for (let i = 0; i < 3000; i++) {
    let text = Array.from({ length: 1 + random.below(4) }, () => request(random).text).join("");
    for (let n = random.below(4); n > 0; n--) {
      const at = random.below(text.length);
      const char = random.pick([
        "",
        "\r",
        "\n",
        " ",
        "\0",
        ":",
        "0",
        String.fromCharCode(random.below(256)),
      ]);
      text = text.slice(0, at) + char + text.slice(at + random.below(3));
    }
    const splitter = new Splitter<Name>(options);
    let sent = "";
    let replied = "";
    let answered = "";
    const open = new Set<number>();
    const note = (commands: readonly Command<Name>[]): void => {
      for (const command of commands) {
        if (command.kind === "send") {
          assert.ok(open.has(command.upstream), "sent to what is not open");
          sent += latin1(command.bytes);
        } else if (command.kind === "reply") replied += latin1(command.bytes);
        else if (command.kind === "open") open.add(command.upstream);
        else if (command.kind === "reset") open.delete(command.upstream);
      }
    };
    for (const piece of random.pieces(fromLatin1(text), random.pick([1, 30, 1000]))) {
      note(splitter.clientBytes(piece));
      const id = [...open].at(-1);
      if (id === undefined || !random.chance(0.3)) continue;
      const response = random.pick(responses);
      answered += response;
      note(splitter.upstreamBytes(id, fromLatin1(response)));
      if (random.chance(0.05)) note(splitter.upstreamEnd(id));
    }
    note(splitter.clientEnd());
    assert.ok(text.startsWith(sent), JSON.stringify({ text, sent }));
    if (!splitter.isOver) assert.equal(splitter.wantsClientBytes, true);
    let at = 0;
    for (const char of replied) {
      at = answered.indexOf(char, at) + 1;
      assert.ok(at > 0, JSON.stringify({ answered, replied }));
    }
  }
});
