/** Ports of this machine that listen before anything else is made: what is in use is known first. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, isIPv6, type Server, type Socket } from "node:net";

/** Connections that come before somebody serves them; more are reset. */
const MAX_EARLY = 128;
const BACKLOG = 511;
/** At once; whoever comes then is refused. */
const MAX_CONNECTIONS = 8192;

export interface LocalAddress {
  /** An IP literal; undefined: this machine's loopback, of both families where it has both. */
  readonly address: string | undefined;
  /** 0: a free one. */
  readonly port: number;
}

/** ::1 is left out where there is no IPv6. */
const NO_SUCH_FAMILY = new Set(["EADDRNOTAVAIL", "EAFNOSUPPORT", "EINVAL"]);
/** A number that is free at one address may be in use at the other. */
const ATTEMPTS = 5;

/**
 * Asks for the same port of each address.
 * @throws an error of listen(2) or bind(2), with `code`
 */
async function bindAll<T>(
  { address, port }: LocalAddress,
  bind: (address: string, port: number) => Promise<{ bound: T; port: number }>,
  close: (bound: T) => void,
): Promise<{ all: T[]; port: number }> {
  if (address !== undefined) {
    const { bound, port: had } = await bind(address, port);
    return { all: [bound], port: had };
  }
  for (let attempt = 1; ; attempt++) {
    const first = await bind("127.0.0.1", port);
    try {
      const second = await bind("::1", first.port);
      return { all: [first.bound, second.bound], port: first.port };
    } catch (error) {
      const { code = "" } = error as NodeJS.ErrnoException;
      if (NO_SUCH_FAMILY.has(code)) return { all: [first.bound], port: first.port };
      close(first.bound);
      if (code !== "EADDRINUSE" || port !== 0 || attempt === ATTEMPTS) throw error;
    }
  }
}

export class TcpPort {
  readonly #servers: readonly Server[];
  readonly port: number;
  #early: Socket[] | undefined = [];
  #serve: ((socket: Socket) => void) | undefined;
  readonly #open = new Set<Socket>();

  private constructor(servers: readonly Server[], port: number) {
    this.#servers = servers;
    this.port = port;
    for (const server of servers) server.on("connection", (socket) => this.#came(socket));
  }

  /** @throws an error of listen(2), with `code` */
  static async listen(at: LocalAddress): Promise<TcpPort> {
    const { all, port } = await bindAll(
      at,
      async (address, number) => {
        // Nothing is read of a connection before there is somebody to take it.
        const server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true });
        server.maxConnections = MAX_CONNECTIONS;
        server.listen({ host: address, port: number, exclusive: true, backlog: BACKLOG });
        await once(server, "listening");
        return { bound: server, port: (server.address() as AddressInfo).port };
      },
      (server) => server.close(),
    );
    return new TcpPort(all, port);
  }

  /** From now on, and of those that wait. Sockets are paused; whoever is given one ends it. */
  serve(onSocket: (socket: Socket) => void): void {
    this.#serve = onSocket;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const socket of early) if (!socket.destroyed) onSocket(socket);
  }

  /** Ends what is open, too. */
  close(): void {
    for (const server of this.#servers) server.close();
    for (const socket of this.#open) socket.resetAndDestroy();
  }

  #came(socket: Socket): void {
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    socket.on("error", () => {}); // "close" follows
    if (this.#serve) this.#serve(socket);
    else if (this.#early && this.#early.length < MAX_EARLY) this.#early.push(socket);
    else socket.resetAndDestroy();
  }
}

export interface UdpPeer {
  readonly address: string;
  readonly port: number;
}

export class UdpPort {
  readonly #sockets: readonly UdpSocket[];
  readonly port: number;

  private constructor(sockets: readonly UdpSocket[], port: number) {
    this.#sockets = sockets;
    this.port = port;
    // An ICMP for something sent earlier: of a datagram nobody waits for it.
    for (const socket of sockets) socket.on("error", () => {});
  }

  /** @throws an error of bind(2), with `code` */
  static async bind(at: LocalAddress): Promise<UdpPort> {
    const { all, port } = await bindAll(
      at,
      async (address, number) => {
        const socket = createSocket(isIPv6(address) ? "udp6" : "udp4");
        socket.bind({ address, port: number, exclusive: true });
        await once(socket, "listening");
        return { bound: socket, port: socket.address().port };
      },
      (socket) => socket.close(),
    );
    return new UdpPort(all, port);
  }

  /** Datagrams that come before are lost, as UDP may lose them. `answer` sends one back. */
  serve(
    onDatagram: (bytes: Buffer, from: UdpPeer, answer: (bytes: Uint8Array) => void) => void,
  ): void {
    for (const socket of this.#sockets)
      socket.on("message", (bytes, { address, port }) =>
        onDatagram(bytes, { address, port }, (reply) => {
          // Port 0 is nobody's who waits for an answer (RFC 768), and Node throws where one is sent there.
          if (port !== 0) socket.send(reply, port, address, () => {});
        }),
      );
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }
}
