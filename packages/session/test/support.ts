/** An agent's end that a test writes: acceptTunnel behind a listening socket on loopback. */
import { EventEmitter, once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { connect, createServer } from "node:net";
import type { TestContext } from "node:test";
import type { AgentMethod, SessionEvent, TargetDescription } from "@inpod/protocol";
import type { IncomingChannel, Tunnel } from "@inpod/tunnel";
import { acceptTunnel, TunnelFailure } from "@inpod/tunnel";
import type { SessionOptions } from "../src/index.ts";
import { newSessionKey, Session } from "../src/index.ts";

export const TARGET: TargetDescription = {
  hostname: "orders-7d4f",
  addresses: ["198.18.0.2"],
  environment: [["GREETING", "hello"]],
  uid: 1000,
  gid: 1000,
  missing: {},
};

type Answer = (params: unknown) => unknown;

export class TestAgent {
  readonly key = newSessionKey();
  /** Public keys it takes. */
  keys: readonly string[] = [this.key.publicKey];
  /** Methods in the order of their arrival, ports and paths with them: "incoming.steal 80". */
  readonly asked: string[] = [];
  answers: Partial<Record<AgentMethod, Answer>> = {};
  onStream: (channel: IncomingChannel) => void = (channel) => channel.reset("ECONNREFUSED");
  /** The tunnels that were accepted, oldest first. */
  readonly tunnels: Tunnel[] = [];
  readonly sockets: Socket[] = [];
  /** "asked" with the method, "tunnel", "dialled". */
  readonly events = new EventEmitter();
  /** What dial() does before it connects. */
  beforeDial: (signal: AbortSignal) => Promise<void> = async () => {};
  /** Takes connections in the agent's place, where it is to misbehave. */
  onSocket: ((socket: Socket) => void) | undefined;
  port = 0;

  get tunnel(): Tunnel {
    const last = this.tunnels.at(-1);
    if (!last) throw new Error("no tunnel yet");
    return last;
  }

  /** Cuts the link as a broken network does, without a word. */
  cut(): void {
    this.sockets.at(-1)?.destroy();
  }

  accept(socket: Socket): void {
    this.sockets.push(socket);
    socket.on("error", () => {});
    if (this.onSocket) {
      this.onSocket(socket);
      return;
    }
    acceptTunnel(socket, {
      authorize: (_, isSignedBy) => this.keys.some(isSignedBy),
      build: "test",
      sessionCount: () => 0,
      handlers: () => ({
        onStream: (channel) => this.onStream(channel),
        onRequest: async (method, params) => this.#serve(method, params),
      }),
    }).then(
      (tunnel) => {
        this.tunnels.push(tunnel);
        this.events.emit("tunnel", tunnel);
      },
      () => {}, // a refused greeting is what some tests are about
    );
  }

  #serve(method: AgentMethod, params: unknown): unknown {
    const { port, path } = params as { port?: number; path?: string };
    this.asked.push([method, port, path].filter((part) => part !== undefined).join(" "));
    this.events.emit("asked", method);
    const answer = this.answers[method];
    if (answer) return answer(params);
    if (method === "end") return { others: 0 };
    return method === "describe" ? TARGET : {};
  }

  dial = async (signal: AbortSignal): Promise<Socket> => {
    this.events.emit("dialled");
    await this.beforeDial(signal);
    // The signal stays with the socket for its life, as in dials that hand it on.
    const socket = connect({ port: this.port, host: "127.0.0.1", signal });
    await once(socket, "connect");
    return socket;
  };
}

export async function startAgent(t: TestContext): Promise<TestAgent> {
  const agent = new TestAgent();
  const server = createServer((socket) => agent.accept(socket)).listen(0, "127.0.0.1");
  await once(server, "listening");
  agent.port = (server.address() as AddressInfo).port;
  t.after(() => {
    server.close();
    for (const socket of agent.sockets) socket.destroy();
  });
  return agent;
}

export class Watched {
  readonly session: Session;
  readonly events: SessionEvent[] = [];
  readonly #emitter = new EventEmitter();
  gone: (why: string) => void = () => {};
  readonly abort = new AbortController();

  constructor(agent: TestAgent, options: Partial<SessionOptions> = {}) {
    this.session = new Session({
      key: agent.key,
      dial: agent.dial,
      gone: new Promise((resolve) => {
        this.gone = resolve;
      }),
      build: "test",
      signal: this.abort.signal,
      onEvent: (event) => {
        this.events.push(event);
        this.#emitter.emit(event.kind, event);
      },
      ...options,
    });
  }

  /** The next event of this kind. */
  async next<K extends SessionEvent["kind"]>(kind: K): Promise<Extract<SessionEvent, { kind: K }>> {
    const [event] = await once(this.#emitter, kind);
    return event;
  }
}

/** An agent and a session with it that has begun. */
export async function begun(
  t: TestContext,
  options: Partial<SessionOptions> = {},
): Promise<{ agent: TestAgent; session: Session; watched: Watched }> {
  const agent = await startAgent(t);
  const watched = new Watched(agent, options);
  t.after(() => watched.session.end());
  await watched.session.begin();
  return { agent, session: watched.session, watched };
}

export const errnoOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => (error instanceof TunnelFailure ? error.errno : String(error)),
  );

/** Asks the agent, and nothing is changed by it; again when the tunnel is lost before the answer. */
export const ask = (session: Session): Promise<void> =>
  session.admit("a".repeat(32), newSessionKey().publicKey, "somebody");
