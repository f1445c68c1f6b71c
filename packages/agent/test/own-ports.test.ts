/** Ports taken in the agent's own network, on real sockets: by listening, with an origin for what nobody takes. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { type Holder, OwnEnds, OwnPorts, Ports } from "@inpod/agent";

const holder = (id: string): Holder => ({
  id,
  name: `of ${id}`,
  take: (socket) => {
    socket.end(`taken by ${id}`);
    socket.resume();
  },
  open: () => undefined,
  certificates: () => [],
  tlsUntouched: () => undefined,
  stealLost: () => undefined,
  connectionsKept: () => undefined,
});
const portsOf = (origin?: string): Ports => {
  const own = new OwnPorts(origin);
  return new Ports(own, () => undefined, new OwnEnds(), 10, own);
};

/** "nothing": refused, or ended without a word. */
async function ask(port: number, words = "hello\n"): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  let text = "";
  socket.on("data", (bytes) => {
    text += String(bytes);
  });
  socket.on("error", () => {});
  socket.end(words);
  await once(socket, "close").catch(() => {});
  return text || "nothing";
}

/** Answers with what it was asked. */
async function origin(t: { after(run: () => unknown): void }): Promise<number> {
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    socket.on("error", () => {});
    socket.on("data", (bytes) => socket.write(`origin ${bytes}`));
    socket.on("end", () => socket.end());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

const free = async (): Promise<number> => {
  const server = createServer().listen(0, "0.0.0.0");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
};

test("a port is taken by listening on it, and free again when nobody has it", async () => {
  const ports = portsOf();
  const port = await free();
  const ada = holder("ada");
  await ports.steal(port, ada);
  assert.equal(await ask(port), "taken by ada");
  await ports.release(port, ada);
  assert.equal(await ask(port), "nothing");
  await ports.steal(port, holder("bob"));
  assert.equal(await ask(port), "taken by bob");
  await ports.drainAll(0);
});

test("a port that somebody has is refused to another one, with his name", async () => {
  const ports = portsOf();
  const port = await free();
  const ada = holder("ada");
  await ports.steal(port, ada);
  await assert.rejects(ports.steal(port, holder("bob")), /stolen by of ada/);
  await ports.releaseAll(ada, "over");
});

test("a port that is in use says so", async () => {
  const server = createServer().listen(0, "0.0.0.0");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  await assert.rejects(portsOf().steal(port, holder("ada")), /EADDRINUSE/);
  server.close();
});

/** On one machine nobody else can have the relay's own port. */
class OriginAt extends OwnPorts {
  readonly #port: number;

  constructor(port: number) {
    super("127.0.0.1");
    this.#port = port;
  }

  override connect(): Promise<Socket> {
    return super.connect(this.#port);
  }
}

test("a relay serves its ports whoever takes them: the origin, a session, the origin again", async (t) => {
  const own = new OriginAt(await origin(t));
  const ports = new Ports(own, () => undefined, new OwnEnds(), 10, own);
  const port = await free();
  await ports.keep([port]);
  assert.equal(await ask(port), "origin hello\n");
  const ada = holder("ada");
  await ports.steal(port, ada);
  assert.equal(await ask(port), "taken by ada");
  await ports.suspend(ada, "tunnel lost");
  assert.equal(await ask(port), "origin hello\n");
  await ports.resume(ada);
  assert.equal(await ask(port), "taken by ada");
  await ports.end(ada, () => true);
  assert.equal(await ask(port), "origin hello\n");
  await ports.drainAll(0);
});
