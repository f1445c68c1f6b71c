/** connect(2) of TCP sockets: who is connected to where, and with which errno it fails. */
import { connect, Socket } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Tap, TrappedCall } from "@inpod/tap";
import { encodeAddress } from "@inpod/tap";
import { errnoOf } from "../errno.ts";
import type { Relay } from "./relay.ts";

type ConnectCall = Extract<TrappedCall, { kind: "connect" }>;

/** A local port that nobody answers on refuses at once; this is for one that hangs. */
const LOCAL_CONNECT_MS = 5000;

/** This kernel, or this socket, cannot be in progress. */
const NOT_PENDING = -errnoNumber("EOPNOTSUPP");

export class Connections {
  readonly #tap: Tap;
  readonly #session: Session;
  readonly #relay: Relay;
  /** Sockets between replyRelayed() and its "relayed" event. */
  readonly #relaying = new Map<number, Awaited<ReturnType<Session["connectTcp"]>>["channel"]>();

  constructor(tap: Tap, session: Session, relay: Relay) {
    this.#tap = tap;
    this.#session = session;
    this.#relay = relay;
  }

  /**
   * Connects from the target's network. `orLocal`: a loopback address; when the pod's loopback refuses, whoever
   * listens on the developer's machine is meant.
   */
  async connect(call: ConnectCall, to: Endpoint, orLocal: boolean): Promise<void> {
    const userPort = call.canBePending ? this.#tap.startPending(call.token) : NOT_PENDING;
    if (userPort === NOT_PENDING) await this.#connectWaiting(call, to, orLocal);
    else if (userPort > 0) await this.#connectPending(call, userPort, to, orLocal);
  }

  /** The call is held until the agent has an answer, and the socket untouched. */
  async #connectWaiting(call: ConnectCall, to: Endpoint, orLocal: boolean): Promise<void> {
    try {
      const { channel, opened } = await this.#session.connectTcp(to.address, to.port);
      this.#relaying.set(call.token, channel);
      const local = encodeAddress(opened.local.address, opened.local.port);
      const peer = encodeAddress(to.address, to.port);
      this.#tap.replyRelayed(call.token, this.#relay.port, local, peer);
    } catch (error) {
      if (orLocal && errnoOf(error) === "ECONNREFUSED") this.#tap.continue(call.token);
      else this.#tap.reply(call.token, 0, errnoNumber(errnoOf(error)));
    }
  }

  /** The tap's "relayed" event. */
  relayed(token: number, userPort: number): void {
    const channel = this.#relaying.get(token);
    this.#relaying.delete(token);
    if (!channel) return;
    // EINPROGRESS (a non-blocking socket) has a port as well: it is connected a moment later.
    if (userPort > 0) this.#relay.expect(userPort, channel);
    else channel.reset("ECONNRESET");
  }

  /** A loopback connect to a port of the tree that really listens on another number. */
  connectToTree(call: ConnectCall, realPort: number): void {
    const address = encodeAddress("127.0.0.1", realPort);
    this.#tap.replyRelayed(call.token, realPort, address, address);
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
      const { channel, opened } = await this.#session.connectTcp(to.address, to.port);
      const local = encodeAddress(opened.local.address, opened.local.port);
      this.#tap.setName("outgoing", userPort, local, encodeAddress(to.address, to.port));
      const socket = this.#complete(call, userPort);
      if (socket) this.#relay.join(userPort, socket, channel);
      else channel.reset("ECONNRESET");
    } catch (error) {
      if (orLocal && errnoOf(error) === "ECONNREFUSED") this.#connectLocally(call, userPort, to);
      else this.#tap.failPending(call, userPort, errnoNumber(errnoOf(error)));
    }
  }

  #complete(call: ConnectCall, userPort: number): Socket | undefined {
    const fd = this.#tap.completePending(call, userPort);
    if (fd < 0) {
      this.#tap.forgetName("outgoing", userPort);
      this.#tap.failPending(call, userPort, errnoNumber("ECONNRESET"));
      return undefined;
    }
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    socket.setNoDelay(true);
    return socket;
  }

  /** The pod's loopback refused: whoever listens there on this machine gets the waiting socket. */
  #connectLocally(call: ConnectCall, userPort: number, to: Endpoint): void {
    const host = to.address.includes(":") ? "::1" : "127.0.0.1";
    const local = connect({ host, port: to.port, allowHalfOpen: true });
    const timer = setTimeout(() => local.destroy(new Error("ETIMEDOUT")), LOCAL_CONNECT_MS);
    local.once("connect", () => {
      clearTimeout(timer);
      const address = encodeAddress(host, to.port);
      this.#tap.setName("outgoing", userPort, encodeAddress(host, userPort), address);
      const socket = this.#complete(call, userPort);
      if (!socket) {
        local.destroy();
        return;
      }
      local.removeAllListeners("error");
      for (const [a, b] of [
        [socket, local],
        [local, socket],
      ] as const) {
        a.on("error", () => b.destroy());
        a.pipe(b);
      }
      socket.on("close", () => this.#tap.forgetName("outgoing", userPort));
    });
    local.once("error", () => {
      clearTimeout(timer);
      this.#tap.failPending(call, userPort, errnoNumber("ECONNREFUSED"));
    });
  }
}
