/**
 * Our end of the user's connected sockets: a listener on loopback to which blocking sockets are connected.
 * A connection is known by the user's port, which the tap tells a moment before or after it arrives.
 */
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import { createServer } from "node:net";
import type { Channel } from "@inpod/session";
import { splice } from "@inpod/session";
import type { Tap } from "@inpod/tap";

/** How long one of the two halves waits for the other. */
const MEETING_MS = 5000;
const BACKLOG = 4096;

export class Relay {
  readonly #tap: Tap;
  readonly #v4 = createServer({ allowHalfOpen: true });
  readonly #v6 = createServer({ allowHalfOpen: true });
  readonly #sockets = new Map<number, Socket>();
  readonly #channels = new Map<number, Channel>();
  #port = 0;

  constructor(tap: Tap) {
    this.#tap = tap;
  }

  get port(): number {
    return this.#port;
  }

  async listen(): Promise<void> {
    for (const server of [this.#v4, this.#v6]) {
      server.on("connection", (socket) => this.#arrived(socket));
      server.unref();
    }
    this.#v4.listen({ host: "127.0.0.1", port: 0, backlog: BACKLOG });
    await once(this.#v4, "listening");
    this.#port = (this.#v4.address() as AddressInfo).port;
    // Only IPv6-only sockets come here. Where there is no IPv6, or the number is taken, none can.
    this.#v6.on("error", () => {});
    this.#v6.listen({ host: "::1", port: this.#port, backlog: BACKLOG });
    this.#tap.setRelayPort(this.#port);
  }

  /** The user's socket at `userPort` belongs to `channel`. */
  expect(userPort: number, channel: Channel): void {
    const socket = this.#sockets.get(userPort);
    if (socket) {
      this.#sockets.delete(userPort);
      this.#join(userPort, socket, channel);
      // It was paused by name: a "data" handler alone does not make it flow.
      socket.resume();
      return;
    }
    this.#channels.set(userPort, channel);
    setTimeout(() => {
      if (this.#channels.get(userPort) !== channel) return;
      this.#channels.delete(userPort);
      channel.reset("ECONNRESET");
    }, MEETING_MS).unref();
  }

  #arrived(socket: Socket): void {
    const userPort = socket.remotePort;
    socket.setNoDelay(true);
    if (userPort === undefined) {
      socket.destroy();
      return;
    }
    const channel = this.#channels.get(userPort);
    if (channel) {
      this.#channels.delete(userPort);
      this.#join(userPort, socket, channel);
      return;
    }
    socket.pause();
    socket.on("error", () => {});
    this.#sockets.set(userPort, socket);
    setTimeout(() => {
      if (this.#sockets.get(userPort) !== socket) return;
      this.#sockets.delete(userPort);
      socket.destroy();
    }, MEETING_MS).unref();
  }

  #join(userPort: number, socket: Socket, channel: Channel): void {
    this.join(socket, channel, this.#tap.nameAt("outgoing", userPort, this.#port));
  }

  /** Bytes flow until either end closes; the tap is to forget the socket's names then. */
  join(socket: Socket, channel: Channel, forget: () => void): void {
    socket.on("close", forget);
    splice(socket, channel);
  }

  close(): void {
    this.#v4.close();
    this.#v6.close();
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}
