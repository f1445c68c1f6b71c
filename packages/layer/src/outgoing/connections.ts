/** connect(2) of TCP sockets: who is connected to where, and with which errno it fails. */
import { connect, Socket } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Tap, TrappedCall } from "@inpod/tap";
import { decodeAddress, encodeAddress } from "@inpod/tap";
import { errnoOf } from "../errno.ts";
import type { Relay } from "./relay.ts";

type ConnectCall = Extract<TrappedCall, { kind: "connect" }>;

/** A local port that nobody answers on refuses at once; this is for one that hangs. */
const LOCAL_CONNECT_MS = 5000;

/** This kernel, or this socket, cannot be in progress. */
const NOT_PENDING = -errnoNumber("EOPNOTSUPP");

/** From such an address nothing leaves a machine: connect(2) is EINVAL. */
const isIPv4Loopback = (address: string | undefined): boolean =>
  address?.startsWith("127.") === true;

export class Connections {
  readonly #tap: Tap;
  readonly #session: Session;
  readonly #relay: Relay;
  /** Sockets between replyRelayed() and its "relayed" event. */
  readonly #relaying = new Map<number, Awaited<ReturnType<Session["connectTcp"]>>["channel"]>();
  /** Blocking connects that are answered and have not gone on yet. */
  readonly #onAnswered = new Map<number, () => void>();

  constructor(tap: Tap, session: Session, relay: Relay) {
    this.#tap = tap;
    this.#session = session;
    this.#relay = relay;
  }

  /**
   * Connects from the target's network; from loopback only to loopback. `orLocal`: a loopback address; when the pod's loopback refuses, whoever
   * listens on the developer's machine is meant.
   */
  async connect(call: ConnectCall, to: Endpoint, orLocal: boolean): Promise<void> {
    const from = decodeAddress(call.local);
    if (isIPv4Loopback(from?.address) && !isIPv4Loopback(to.address)) {
      this.#tap.reply(call.token, 0, errnoNumber("EINVAL"));
      return;
    }
    const userPort = call.canBePending ? this.#tap.startPending(call.token) : NOT_PENDING;
    if (userPort === NOT_PENDING) await this.#connectWaiting(call, to, orLocal);
    else if (userPort > 0) await this.#connectPending(call, userPort, to, orLocal);
  }

  /** A port to which the program has bound its socket is the one that its peer sees. */
  #open(call: ConnectCall, to: Endpoint): ReturnType<Session["connectTcp"]> {
    const fromPort = decodeAddress(call.local)?.port;
    return this.#session.connectTcp(to.address, to.port, fromPort === 0 ? undefined : fromPort);
  }

  /** The call is held until the agent has an answer, and the socket untouched. */
  async #connectWaiting(call: ConnectCall, to: Endpoint, orLocal: boolean): Promise<void> {
    try {
      const { channel, opened } = await this.#open(call, to);
      this.#relaying.set(call.token, channel);
      const local = encodeAddress(opened.local.address, opened.local.port);
      const peer = encodeAddress(to.address, to.port);
      if (this.#tap.replyRelayed(call.token, this.#relay.port, local, peer)) return;
      this.#relaying.delete(call.token); // its deadline has passed, or a signal has taken it away
      channel.reset("ECONNRESET");
    } catch (error) {
      if (orLocal && errnoOf(error) === "ECONNREFUSED") this.#tap.continue(call.token);
      else this.#tap.reply(call.token, 0, errnoNumber(errnoOf(error)));
    }
  }

  /** The tap's "relayed" event. */
  relayed(token: number, userPort: number): void {
    const onAnswered = this.#onAnswered.get(token);
    if (onAnswered) {
      this.#onAnswered.delete(token);
      onAnswered();
      return;
    }
    const channel = this.#relaying.get(token);
    this.#relaying.delete(token);
    if (!channel) return;
    // EINPROGRESS (a non-blocking socket) has a port as well: it is connected a moment later.
    if (userPort > 0) this.#relay.expect(userPort, channel);
    else channel.reset("ECONNRESET");
  }

  /** A loopback connect to a port of the tree that really listens on another number. */
  connectToTree(call: ConnectCall, realPort: number): void {
    this.connectToPort(call, realPort, { address: "127.0.0.1", port: realPort });
  }

  /** A port of this machine's loopback that stands for `to`. */
  connectToPort(call: ConnectCall, port: number, to: Endpoint): void {
    const address = encodeAddress(to.address, to.port);
    this.#tap.replyRelayed(call.token, port, address, address);
  }

  /**
   * The socket is in progress until the agent has an answer. A program that does not wait (non-blocking, or taken away
   * by a signal) finds its socket writable then, or failed.
   */
  async #connectPending(
    call: ConnectCall,
    userPort: number,
    to: Endpoint,
    orLocal: boolean,
  ): Promise<void> {
    try {
      const { channel, opened } = await this.#open(call, to);
      const local = encodeAddress(opened.local.address, opened.local.port);
      const peer = encodeAddress(to.address, to.port);
      const forget = this.#tap.setName("outgoing", userPort, local, peer);
      const isCompleted = this.#complete(call, userPort, (socket) =>
        this.#relay.join(socket, channel, forget),
      );
      if (isCompleted) return;
      forget();
      channel.reset("ECONNRESET");
    } catch (error) {
      if (orLocal && errnoOf(error) === "ECONNREFUSED") this.#connectLocally(call, userPort, to);
      else this.#tap.failPending(call, userPort, errnoNumber(errnoOf(error)));
    }
  }

  /** @param join what is behind the socket, once the program's call has its answer; false: it is not called */
  #complete(call: ConnectCall, userPort: number, join: (socket: Socket) => void): boolean {
    const { fd, isHeld } = this.#tap.completePending(call, userPort);
    if (fd < 0) {
      this.#tap.failPending(call, userPort, errnoNumber("ECONNRESET"));
      return false;
    }
    const begin = (): void => {
      const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
      socket.setNoDelay(true);
      join(socket);
    };
    if (isHeld) this.#onAnswered.set(call.token, begin);
    else begin();
    return true;
  }

  /** The pod's loopback refused: whoever listens there on this machine gets the waiting socket. */
  #connectLocally(call: ConnectCall, userPort: number, to: Endpoint): void {
    const host = to.address.includes(":") ? "::1" : "127.0.0.1";
    const local = connect({ host, port: to.port, allowHalfOpen: true });
    const timer = setTimeout(() => local.destroy(new Error("ETIMEDOUT")), LOCAL_CONNECT_MS);
    local.once("connect", () => {
      clearTimeout(timer);
      const address = encodeAddress(host, to.port);
      const own = encodeAddress(host, userPort);
      const forget = this.#tap.setName("outgoing", userPort, own, address);
      const isCompleted = this.#complete(call, userPort, (socket) => {
        for (const [a, b] of [
          [socket, local],
          [local, socket],
        ] as const) {
          a.on("error", () => b.destroy());
          a.pipe(b);
        }
        socket.on("close", forget);
        if (local.destroyed) socket.destroy();
      });
      // From now on its end is the connection's, not the connect's.
      local.removeAllListeners("error").on("error", () => {});
      if (isCompleted) return;
      forget();
      local.destroy();
    });
    local.once("error", () => {
      clearTimeout(timer);
      this.#tap.failPending(call, userPort, errnoNumber("ECONNREFUSED"));
    });
  }
}
