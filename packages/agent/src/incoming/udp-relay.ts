/** The sockets of ours to which the rules turn one stolen UDP port, and from which its answers leave. */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { Endpoint } from "@inpod/protocol";
import { errnoOf, Failure } from "../failure.ts";
import { endpoint } from "../outgoing/tcp.ts";

const ATTEMPTS = 8;
/** Addresses of the target: a socket for each, so that an answer leaves from where the client has sent to. */
const MAX_ADDRESSES = 64;
/** Answers that the kernel has not taken yet; more are dropped, as a full socket buffer would. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** Of a burst, what waits until this process has its turn; the kernel gives at most net.core.rmem_max. */
const RECEIVE_BUFFER_BYTES = 1024 * 1024;

/** @param answer sends a datagram back; what cannot be sent is lost */
export type OnDatagram = (
  bytes: Buffer,
  client: Endpoint,
  local: Endpoint,
  answer: (bytes: Uint8Array) => void,
) => void;

export class UdpRelay {
  readonly port: number;
  readonly #sockets: readonly Socket[];
  #queuedBytes = 0;
  /** From now on nothing is answered: without rules an answer would come from the relay's port. */
  isMute = false;

  private constructor(port: number, sockets: readonly Socket[]) {
    this.port = port;
    this.#sockets = sockets;
  }

  /** @param stolenPort as clients know it. @throws Failure: no free port, or no socket at all */
  static async open(stolenPort: number, onDatagram: OnDatagram): Promise<UdpRelay> {
    for (let attempt = 1; ; attempt++) {
      const sockets: Socket[] = [];
      try {
        const relay = new UdpRelay(await bindAll(sockets), sockets);
        for (const socket of sockets) relay.#listen(socket, stolenPort, onDatagram);
        return relay;
      } catch (error) {
        for (const socket of sockets) socket.close();
        const errno = errnoOf(error);
        if (errno !== "EADDRINUSE" || attempt === ATTEMPTS)
          throw error instanceof Failure ? error : new Failure(errno, `a UDP relay: ${errno}`);
      }
    }
  }

  #listen(socket: Socket, stolenPort: number, onDatagram: OnDatagram): void {
    const local = endpoint(socket.address().address, stolenPort);
    socket.on("message", (bytes, from) => {
      onDatagram(bytes, endpoint(from.address, from.port), local, (answer) => {
        // Port 0 is nobody's who waits for an answer (RFC 768), and Node throws where one is sent there.
        if (from.port === 0) return;
        if (this.isMute || this.#queuedBytes + answer.length > MAX_QUEUED_BYTES) return;
        this.#queuedBytes += answer.length;
        socket.send(answer, from.port, from.address, () => {
          this.#queuedBytes -= answer.length;
        });
      });
    });
    // Of one datagram: lost, as networks lose them.
    socket.on("error", () => undefined);
  }

  close(): void {
    this.isMute = true;
    for (const socket of this.#sockets) socket.close();
  }
}

/** The same port on every address. @param sockets those that are bound, also when it throws */
async function bindAll(sockets: Socket[]): Promise<number> {
  let port = 0;
  for (const address of addresses()) {
    const socket = createSocket({
      type: address.includes(":") ? "udp6" : "udp4",
      ipv6Only: address.includes(":"),
    });
    try {
      await bind(socket, address, port);
    } catch (error) {
      socket.close();
      // Gone again, or not yet usable (IPv6's detection of duplicates).
      if (errnoOf(error) === "EADDRNOTAVAIL") continue;
      throw error;
    }
    sockets.push(socket);
    port = socket.address().port;
  }
  if (sockets.length === 0) throw new Failure("EADDRNOTAVAIL", "the target has no address");
  return port;
}

function addresses(): string[] {
  return Object.entries(networkInterfaces())
    .flatMap(([name, all]) =>
      (all ?? []).map(({ address, scopeid }) => (scopeid ? `${address}%${name}` : address)),
    )
    .slice(0, MAX_ADDRESSES);
}

function bind(socket: Socket, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address, port, exclusive: true }, () => {
      socket.off("error", reject);
      try {
        socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      } catch {
        // The kernel's own size is enough, too.
      }
      resolve();
    });
  });
}
