/** SOCKS5 on a socket: connections, and associations whose datagrams come by a UDP port of their own. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6, type Socket } from "node:net";
import type { TunnelFailure } from "@inpod/session";
import { failureOf } from "../forward.ts";
import { join } from "../join.ts";
import { connectTo, type Destination, type Reach } from "../reach.ts";
import { TargetFlow } from "../target-flow.ts";
import { datagram, failed, readDatagram, SocksHandshake, succeeded } from "./message.ts";

/** From the first byte to the request: it costs a client of this machine one millisecond. */
const HANDSHAKE_MS = 10_000;
/** Peers of one association at once; the one that was silent longest is forgotten. */
const MAX_FLOWS = 256;

export interface SocksOptions {
  readonly reach: Reach;
  /** What a client asked for came to nothing; it was told. */
  onFailure?(to: Destination, error: TunnelFailure): void;
  onConnected?(to: Destination): void;
  /** What a client said is nothing that is served. */
  onRefused?(why: string): void;
}

/** @param socket paused @param first what was read of it */
export async function serveSocks(
  socket: Socket,
  first: Uint8Array,
  options: SocksOptions,
): Promise<void> {
  const request = await handshake(socket, first, options);
  if (request === undefined) return;
  if (request.rest.length > 0) socket.unshift(request.rest);
  if (request.command === "udp") await associate(socket, options);
  else await connectFor(socket, request.to, options);
}

interface Request {
  readonly command: "connect" | "udp";
  readonly to: Destination;
  readonly rest: Uint8Array;
}

/** Undefined: it is over. The socket is paused afterwards. */
function handshake(
  socket: Socket,
  first: Uint8Array,
  { onRefused }: SocksOptions,
): Promise<Request | undefined> {
  const parser = new SocksHandshake();
  return new Promise((resolve) => {
    const end = (request: Request | undefined): void => {
      clearTimeout(timer);
      socket.pause();
      socket.off("data", take);
      socket.off("end", onEnd);
      socket.off("close", onEnd);
      resolve(request);
    };
    const onEnd = (): void => {
      socket.destroy();
      end(undefined);
    };
    const timer = setTimeout(onEnd, HANDSHAKE_MS);
    const take = (bytes: Uint8Array): void => {
      for (const event of parser.take(bytes)) {
        if (event.kind === "request") {
          end(event);
          return;
        }
        if (event.kind === "refused") {
          onRefused?.(event.why);
          socket.end(event.bytes);
          socket.destroySoon();
          end(undefined);
          return;
        }
        socket.write(event.bytes);
      }
    };
    socket.on("data", take);
    socket.once("end", onEnd);
    socket.once("close", onEnd);
    take(first);
    if (!socket.destroyed && socket.listeners("data").includes(take)) socket.resume();
  });
}

async function connectFor(
  socket: Socket,
  to: Destination,
  { reach, onFailure, onConnected }: SocksOptions,
): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  socket.once("close", onClose);
  try {
    const { channel, opened } = await connectTo(reach, to, gone.signal);
    socket.off("close", onClose);
    if (socket.destroyed) {
      channel.reset("ECONNRESET");
      return;
    }
    onConnected?.(to);
    socket.write(succeeded({ host: opened.local.address, port: opened.local.port }));
    join(socket, channel);
  } catch (error) {
    if (gone.signal.aborted) return;
    const failure = failureOf(error);
    onFailure?.(to, failure);
    socket.end(failed(failure.errno));
    socket.destroySoon();
  }
}

/** RFC 1928, section 7: it lasts as long as the connection that asked for it. */
async function associate(socket: Socket, options: SocksOptions): Promise<void> {
  const { localAddress = "127.0.0.1" } = socket;
  const udp = createSocket(isIPv6(localAddress) ? "udp6" : "udp4");
  udp.on("error", () => {}); // an ICMP for what was sent earlier: nobody waits for a datagram
  try {
    udp.bind({ port: 0, address: localAddress, exclusive: true });
    await once(udp, "listening");
  } catch {
    socket.end(failed("EIO"));
    socket.destroySoon();
    return;
  }
  const association = new Association(udp, socket.remoteAddress ?? "", options);
  if (socket.destroyed) {
    association.close();
    return;
  }
  socket.once("end", () => socket.end());
  socket.once("close", () => association.close());
  socket.resume(); // nothing is expected there but its end
  socket.write(succeeded({ host: localAddress, port: udp.address().port }));
}

class Association {
  readonly #udp: UdpSocket;
  readonly #options: SocksOptions;
  /** By destination; the map's order is that of use. */
  readonly #flows = new Map<string, TargetFlow>();
  #isOver = false;

  /** @param client whose datagrams count: no other machine's, and of the first port alone that sends one */
  constructor(udp: UdpSocket, client: string, options: SocksOptions) {
    this.#udp = udp;
    this.#options = options;
    let known: number | undefined;
    udp.on("message", (bytes, { address, port }) => {
      // From port 0 nobody can be answered: Node throws where something is sent there.
      if (port === 0 || address !== client || (known !== undefined && known !== port)) return;
      const read = readDatagram(bytes);
      if (read === undefined) return;
      known ??= port;
      this.#flow(read.to, { address, port }).send(read.payload);
    });
  }

  close(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const flow of this.#flows.values()) flow.close();
    this.#flows.clear();
    this.#udp.close();
  }

  #flow(to: Destination, client: { readonly address: string; readonly port: number }): TargetFlow {
    const key = `${to.port} ${to.host.toLowerCase()}`;
    const { reach, onFailure, onConnected } = this.#options;
    let flow = this.#flows.get(key);
    if (!flow) {
      const [oldest] = this.#flows.keys();
      if (this.#flows.size >= MAX_FLOWS && oldest !== undefined) {
        this.#flows.get(oldest)?.close();
        this.#flows.delete(oldest);
      }
      const made = new TargetFlow({
        ...{ reach, to },
        onDatagram: (payload, host) => {
          onConnected?.(to);
          const bytes = datagram({ host, port: to.port }, payload);
          if (!this.#isOver) this.#udp.send(bytes, client.port, client.address, () => {});
        },
        onEnd: (error) => {
          if (this.#flows.get(key) === made) this.#flows.delete(key);
          if (error.errno !== "ETIMEDOUT") onFailure?.(to, error);
        },
      });
      flow = made;
    }
    this.#flows.delete(key);
    this.#flows.set(key, flow);
    return flow;
  }
}
