/** A program of the developer's machine that uses ports and proxies: reads steps as JSON from argv, prints what came of each. */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import http from "node:http";
import http2 from "node:http2";
import net from "node:net";

const TIMEOUT_MS = 40_000;

const within = (promise, { do: what, timeoutMs = TIMEOUT_MS }) =>
  Promise.race([
    promise,
    new Promise((resolve) => {
      setTimeout(resolve, timeoutMs, { how: `nothing within ${timeoutMs} ms: ${what}` }).unref();
    }),
  ]);

const opened = (port, host = "127.0.0.1") =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ port, host, allowHalfOpen: true });
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });

/** All until its end. */
const talk = (socket, { send, ends = true }) =>
  new Promise((resolve) => {
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      if (!ends && text.length >= (send ?? "").length) {
        socket.destroy();
        resolve({ how: "data", text });
      }
    });
    socket.on("end", () => resolve({ how: "end", text }));
    socket.on("error", (error) => resolve({ how: error.code, text }));
    socket.on("close", () => resolve({ how: "close", text }));
    if (send !== undefined) socket.write(Buffer.from(send, "latin1"));
    if (ends) socket.end();
  });

/** Exactly so many bytes. */
const take = (socket, count) =>
  new Promise((resolve, reject) => {
    const look = () => {
      const bytes = socket.read(count);
      if (bytes === null) return;
      socket.off("readable", look);
      resolve(bytes);
    };
    socket.on("readable", look);
    socket.once("error", reject);
    socket.once("end", () => reject(Object.assign(new Error("ended"), { code: "ended" })));
    look();
  });

const socksAddress = ({ host, port }) => {
  const family = net.isIP(host);
  const head =
    family === 4
      ? [1, ...host.split(".").map(Number)]
      : [3, host.length, ...Buffer.from(host, "latin1")];
  return Buffer.from([...head, port >> 8, port & 0xff]);
};

async function socks(port, command, to, split) {
  const socket = await opened(port);
  const greeting = Buffer.from([5, 1, 0]);
  const request = Buffer.concat([Buffer.from([5, command, 0]), socksAddress(to)]);
  if (split)
    for (const byte of Buffer.concat([greeting, request])) socket.write(Buffer.from([byte]));
  else socket.write(greeting);
  await take(socket, 2);
  if (!split) socket.write(request);
  const head = await take(socket, 4);
  const rest = await take(socket, head[3] === 4 ? 18 : 6);
  return {
    socket,
    reply: head[1],
    bound: { host: rest.subarray(0, 4).join("."), port: rest.readUInt16BE(rest.length - 2) },
  };
}

const datagrams = (send, family, port, wanted = 1) =>
  new Promise((resolve) => {
    const socket = createSocket(family);
    const said = [];
    socket.on("message", (message) => {
      said.push(message);
      if (said.length < wanted) return;
      socket.close();
      resolve({ how: "data", said });
    });
    socket.on("error", (error) => resolve({ how: error.code, said }));
    for (const each of send) socket.send(each, port, family === "udp6" ? "::1" : "127.0.0.1");
  });

const request = ({ port, url, path, method = "GET", headers = {}, body, agent }) =>
  new Promise((resolve) => {
    const asked = http.request(
      { host: "127.0.0.1", port, path: url ?? path, method, headers, agent },
      (response) => {
        let text = "";
        response.on("data", (bytes) => {
          text += bytes;
        });
        response.on("end", () =>
          resolve({ how: "answer", status: response.statusCode, text, headers: response.headers }),
        );
        response.on("error", (error) =>
          resolve({ how: error.code, status: response.statusCode, text }),
        );
      },
    );
    asked.on("error", (error) => resolve({ how: error.code }));
    asked.end(body);
  });

const STEPS = {
  tcp: async ({ port, host, ...rest }) => talk(await opened(port, host), rest),
  http: request,
  /** Several requests over one connection. */
  "http-kept": async ({ count, ...rest }) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const all = [];
    for (let at = 0; at < count; at++) all.push(await request({ ...rest, agent }));
    agent.destroy();
    return all;
  },
  /** `via`: an authority to which the port is a proxy. */
  http2: async ({ port, path, via }) => {
    const socket = await opened(port);
    if (via !== undefined) {
      const established = "HTTP/1.1 200 Connection established\r\n\r\n";
      socket.write(`CONNECT ${via} HTTP/1.1\r\nHost: ${via}\r\n\r\n`);
      const said = String(await take(socket, established.length));
      if (said !== established) return { how: said };
    }
    return new Promise((resolve) => {
      const session = http2.connect("http://localhost", { createConnection: () => socket });
      session.on("error", (error) => resolve({ how: error.code }));
      const stream = session.request({ ":path": path });
      let text = "";
      stream.setEncoding("utf8").on("data", (part) => {
        text += part;
      });
      stream.on("error", (error) => resolve({ how: error.code }));
      stream.on("end", () => {
        session.close();
        resolve({ how: "answer", text });
      });
    });
  },
  udp: async ({ port, send, family = "udp4" }) => {
    const { how, said } = await datagrams([Buffer.from(send)], family, port);
    return { how, text: String(said?.[0] ?? "") };
  },
  dns: async ({ port, name }) => {
    const resolver = new Resolver({ timeout: 2000, tries: 3 });
    resolver.setServers([`127.0.0.1:${port}`]);
    return { addresses: await resolver.resolve4(name) };
  },
  socks: async ({ port, to, split, ...rest }) => {
    const { socket, reply } = await socks(port, 1, to, split);
    if (reply !== 0) return { reply, ...(await talk(socket, { ends: true })) };
    return { reply, ...(await talk(socket, rest)) };
  },
  "socks-command": async ({ port, to, command }) => {
    const { socket, reply } = await socks(port, command, to, false);
    socket.destroy();
    return { reply };
  },
  "socks-udp": async ({ port, to, send }) => {
    const { socket, reply, bound } = await socks(port, 3, { host: "0.0.0.0", port: 0 }, false);
    const wrap = (fragment, text) =>
      Buffer.concat([Buffer.from([0, 0, fragment]), socksAddress(to), Buffer.from(text)]);
    const { how, said } = await datagrams(
      [wrap(1, "a fragment"), Buffer.from([0, 0]), wrap(0, send)],
      "udp4",
      bound.port,
    );
    socket.destroy();
    const [answer] = said;
    return {
      ...{ reply, how },
      from: answer && `${answer.subarray(4, 8).join(".")}:${answer.readUInt16BE(8)}`,
      text: answer && String(answer.subarray(10)),
    };
  },
  connect: async ({ port, to, send, ends }) => {
    const socket = await opened(port);
    return talk(socket, {
      send: `CONNECT ${to} HTTP/1.1\r\nHost: ${to}\r\n\r\n${send ?? ""}`,
      ends,
    });
  },
  raw: async ({ port, send, ends }) => talk(await opened(port), { send, ends }),
};

const results = [];
for (const given of JSON.parse(process.argv[2])) {
  const step = given.bytes === undefined ? given : { ...given, send: "x".repeat(given.bytes) };
  const run = STEPS[step.do](step).catch((error) => ({ how: error.code ?? error.message }));
  results.push(await within(run, step));
}
process.stdout.write(JSON.stringify(results), () => process.exit(0));
