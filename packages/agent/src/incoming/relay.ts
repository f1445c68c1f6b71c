/** The port of ours that the rules redirect one stolen port to. */
import { createServer, type Server, type Socket } from "node:net";
import { errnoOf } from "../failure.ts";
import { reset } from "./reset.ts";

const ATTEMPTS = 8;

export interface RelayHandlers {
  /** The socket is paused, and half-open is allowed. */
  onConnection(socket: Socket): void;
  /** The last open connection has ended. */
  onIdle(): void;
}

export class Relay {
  readonly port: number;
  readonly #servers: readonly Server[];
  readonly #connections = new Set<Socket>();
  /** When the last connection came, by performance.now(); 0: none has. */
  #lastAtMs = 0;

  private constructor(port: number, servers: readonly Server[], handlers: RelayHandlers) {
    this.port = port;
    this.#servers = servers;
    for (const server of servers) {
      server.on("connection", (socket) => {
        this.#connections.add(socket);
        this.#lastAtMs = performance.now();
        // A peer's reset; "close" follows.
        socket.on("error", () => undefined);
        socket.once("close", () => {
          this.#connections.delete(socket);
          if (this.#connections.size === 0) handlers.onIdle();
        });
        handlers.onConnection(socket);
      });
      // EMFILE and the like: connections wait in the backlog.
      server.on("error", () => undefined);
    }
  }

  /** On this port, which is its own: nothing redirects to it. @throws listen(2)'s errors */
  static async openOn(port: number, handlers: RelayHandlers): Promise<Relay> {
    const ipv4 = await listen("0.0.0.0", port);
    const ipv6 = await listen("::", port).catch((error: unknown) => {
      const errno = errnoOf(error);
      if (errno === "EAFNOSUPPORT" || errno === "EADDRNOTAVAIL") return undefined;
      ipv4.close();
      throw error;
    });
    return new Relay(port, ipv6 === undefined ? [ipv4] : [ipv4, ipv6], handlers);
  }

  /**
   * On the same port of 0.0.0.0 and, where the namespace has IPv6, of [::]: redirected packets go to the
   * address of the interface they came in by, never to 127.0.0.1. The rules refuse whoever was not redirected.
   */
  static async open(handlers: RelayHandlers): Promise<Relay> {
    for (let attempt = 1; ; attempt++) {
      const ipv4 = await listen("0.0.0.0", 0);
      const { port } = ipv4.address() as { port: number };
      try {
        const ipv6 = await listen("::", port);
        return new Relay(port, [ipv4, ipv6], handlers);
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === "EAFNOSUPPORT" || errno === "EADDRNOTAVAIL") {
          return new Relay(port, [ipv4], handlers);
        }
        ipv4.close();
        if (errno !== "EADDRINUSE" || attempt === ATTEMPTS) throw error;
      }
    }
  }

  get lastAtMs(): number {
    return this.#lastAtMs;
  }

  get connections(): Iterable<Socket> {
    return this.#connections;
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  resetConnections(): void {
    for (const socket of this.#connections) reset(socket);
  }

  /** No new connections; open ones live on. */
  close(): void {
    for (const server of this.#servers) server.close();
  }
}

function listen(host: string, port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: true, backlog: 511 }, () => {
      server.off("error", reject);
      resolve(server);
    });
  });
}
