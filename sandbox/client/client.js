// A client in the sandbox's network: it does what JSON lines on fd 3 tell it and answers with JSON lines there.
// A command: {id, kind, …}; an answer: {id, result} or {id, error: {code, message}}.
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { createInterface } from "node:readline";

console.log("unshared");
const [line] = await once(createInterface(process.stdin), "line");
const [address, blackHole] = line.split(" ");
execFileSync("ip", ["-batch", "-"], {
  input: [
    "link set lo up",
    `address add ${address} dev eth0`,
    "link set eth0 up",
    `neighbor replace ${blackHole} lladdr 02:00:00:00:00:66 dev eth0 nud permanent`,
  ].join("\n"),
  stdio: ["pipe", 2, 2],
});

/** One agent a name: requests under one name share a connection, one after another. */
const agents = new Map();
const connections = new Map();
let lastConnection = 0;

const agentOf = (name) => {
  if (name === undefined) return new http.Agent({ keepAlive: false });
  const known = agents.get(name) ?? new http.Agent({ keepAlive: true, maxSockets: 1 });
  agents.set(name, known);
  return known;
};

function request({ host, port, path, method, headers, body, connection, timeoutMs }) {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = http.request({
      host,
      port,
      path,
      method,
      headers,
      agent: agentOf(connection),
      signal,
    });
    let local;
    outgoing.once("error", (error) => reject(signal.aborted ? timedOut(timeoutMs) : error));
    outgoing.once("socket", (socket) => {
      const note = () => {
        local = { address: socket.localAddress, port: socket.localPort };
      };
      if (socket.connecting) socket.once("connect", note);
      else note();
    });
    outgoing.once("response", (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.once("error", reject);
      response.once("end", () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(parts).toString(),
          local,
          isReused: outgoing.reusedSocket,
        }),
      );
    });
    outgoing.end(body);
  });
}

/** Bytes that nobody has received yet, kept for ever: the sandbox's traffic is small. */
function open({ host, port, timeoutMs }) {
  return new Promise((resolve, reject) => {
    const socket = net.connect({ host, port, allowHalfOpen: true });
    const deadline = setTimeout(() => socket.destroy(timedOut(timeoutMs)), timeoutMs);
    const state = {
      socket,
      received: Buffer.alloc(0),
      isEnded: false,
      error: undefined,
      wake: () => {},
    };
    socket.on("data", (bytes) => {
      state.received = Buffer.concat([state.received, bytes]);
      state.wake();
    });
    socket.once("end", () => {
      state.isEnded = true;
      state.wake();
    });
    socket.once("error", (error) => {
      clearTimeout(deadline);
      state.error = error;
      state.wake();
      reject(error);
    });
    socket.once("connect", () => {
      clearTimeout(deadline);
      lastConnection += 1;
      connections.set(lastConnection, state);
      resolve({
        connection: lastConnection,
        local: { address: socket.localAddress, port: socket.localPort },
      });
    });
  });
}

/** `bytes` undefined: everything until the end of the stream. */
async function receive({ connection, bytes, timeoutMs }) {
  const state = find(connection);
  const deadline = AbortSignal.timeout(timeoutMs);
  deadline.addEventListener("abort", () => state.wake());
  for (;;) {
    if (bytes !== undefined && state.received.length >= bytes) break;
    if (state.isEnded) break;
    if (state.error !== undefined) throw state.error;
    if (deadline.aborted) throw timedOut(timeoutMs);
    await new Promise((resolve) => {
      state.wake = resolve;
    });
  }
  const taken = state.received.subarray(0, bytes ?? state.received.length);
  state.received = state.received.subarray(taken.length);
  return { text: taken.toString("latin1") };
}

const find = (connection) => {
  const state = connections.get(connection);
  if (state === undefined) throw new Error(`no connection ${connection}`);
  return state;
};
const timedOut = (timeoutMs) =>
  Object.assign(new Error(`nothing within ${timeoutMs} ms`), { code: "ETIMEDOUT" });

const commands = {
  request,
  open,
  receive,
  send: async ({ connection, text }) => {
    find(connection).socket.write(Buffer.from(text, "latin1"));
    return {};
  },
  end: async ({ connection }) => {
    find(connection).socket.end();
    return {};
  },
  close: async ({ connection, isReset }) => {
    const { socket } = find(connection);
    if (isReset) socket.resetAndDestroy();
    else socket.destroy();
    connections.delete(connection);
    return {};
  },
};

const control = new net.Socket({ fd: 3 });
control.on("error", () => process.exit(0));
createInterface(control).on("line", async (text) => {
  const { id, kind, ...parameters } = JSON.parse(text);
  let answer;
  try {
    answer = { id, result: await commands[kind](parameters) };
  } catch (error) {
    answer = { id, error: { code: error.code ?? "EIO", message: error.message } };
  }
  control.write(`${JSON.stringify(answer)}\n`);
});
console.log("ready");
