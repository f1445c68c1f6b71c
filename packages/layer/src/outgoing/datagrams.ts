/**
 * UDP: for each of the user's sockets and each destination a loopback socket of ours stands for the peer.
 * What arrives on it leaves from the target; what comes back arrives from it.
 */
import type { Socket } from "node:dgram";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import type { Channel, Session } from "@inpod/session";
import type { SocketCall, Tap } from "@inpod/tap";
import { encodeAddress } from "@inpod/tap";
import type { DnsQuestions } from "./dns-questions.ts";
import type { DnsTrace } from "./dns-trace.ts";
import { KnownNames } from "./known-names.ts";
import { udpPorts } from "./udp-table.ts";

/** As nf_conntrack_udp_timeout_stream. */
const IDLE_MS = 120_000;
const DNS_PORT = 53;
/** How often it is looked whose sockets are closed: a resolver has a new one for each name. */
const SWEEP_MS = 2000;
const UNSEEN_SWEEPS = 2;
/** A program that speaks with more peers at once loses the oldest. */
const MAX_RELAYS = 2048;

/** With which a channel ends that no peer has refused: it was silent, or the tunnel is lost. */
const NO_ICMP: ReadonlySet<string> = new Set(["ETIMEDOUT", "ECONNRESET"]);

interface DatagramRelay {
  readonly socket: Socket;
  readonly port: number;
  /** The connect by which the program's socket is connected to this one, if it is. */
  connected: SocketCall | undefined;
  /** Opened by the first datagram: resolvers connect UDP sockets only to learn their own address. */
  channel: Channel | undefined;
  userPort: number;
  timer: NodeJS.Timeout;
  /** Of performance.now(): opened, or a datagram passed. */
  usedAt: number;
  /** Sweeps, one after the other, that have not seen the program's socket. */
  unseen: number;
  /** Its name in the tap. */
  forget: () => void;
  /** Its socket is closed: what is answered now comes too late. */
  isClosed: boolean;
}

export class Datagrams {
  readonly #tap: Tap;
  readonly #session: Session;
  readonly #questions: DnsQuestions | undefined;
  readonly #names = new KnownNames();
  readonly #relays = new Map<string, Promise<DatagramRelay>>();
  #sweeping: NodeJS.Timeout | undefined;

  readonly #trace: DnsTrace | undefined;

  /** @param questions of names that may be this machine's; undefined: none is */
  constructor(
    tap: Tap,
    session: Session,
    questions: DnsQuestions | undefined,
    trace: DnsTrace | undefined,
  ) {
    this.#tap = tap;
    this.#session = session;
    this.#questions = questions;
    this.#trace = trace;
  }

  /** Names that DNS answers gave to the tree's programs for this address. */
  namesOf(address: string): readonly string[] {
    return this.#names.of(address);
  }

  /** The loopback port that stands for `to`, for the socket of the call. */
  async portFor(call: SocketCall, to: Endpoint, isConnected: boolean): Promise<number> {
    const { cookie, isIPv6Only } = call;
    const key = `${cookie} ${to.address} ${to.port}`;
    let relay = this.#relays.get(key);
    if (!relay) {
      if (this.#relays.size >= MAX_RELAYS) {
        const [oldest] = this.#relays.keys();
        if (oldest !== undefined) await this.#close(oldest);
      }
      relay = this.#open(key, to, isIPv6Only);
      this.#relays.set(key, relay);
      this.#sweepLater();
      relay.catch(() => this.#relays.delete(key));
    }
    const opened = await relay;
    if (isConnected) opened.connected = call;
    return opened.port;
  }

  async #open(key: string, to: Endpoint, isIPv6Only: boolean): Promise<DatagramRelay> {
    const host = isIPv6Only ? "::1" : "127.0.0.1";
    const socket = createSocket(isIPv6Only ? "udp6" : "udp4");
    socket.unref();
    socket.bind({ port: 0, address: host, exclusive: true });
    await once(socket, "listening");
    const { port } = socket.address();
    const relay: DatagramRelay = {
      socket,
      port,
      connected: undefined,
      channel: undefined,
      userPort: 0,
      timer: setTimeout(() => void this.#close(key), IDLE_MS).unref(),
      usedAt: performance.now(),
      unseen: 0,
      forget: () => {},
      isClosed: false,
    };
    // Of the peer's family: by it resolvers sort what they have found (RFC 6724).
    const { addresses } = this.#session.target;
    const local = addresses.find((each) => isIPv6(each) === isIPv6(to.address)) ?? host;
    relay.forget = this.#tap.setName(
      "datagram",
      port,
      encodeAddress(local, port),
      encodeAddress(to.address, to.port),
    );
    socket.on("error", () => void this.#close(key));
    const isAsked = this.#questions?.isNameServer(to) === true;
    socket.on("message", (message, from) => {
      relay.userPort = from.port;
      relay.usedAt = performance.now();
      relay.timer.refresh();
      if (isAsked && this.#answeredHere(relay, host, message)) return;
      try {
        relay.channel ??= this.#openChannel(relay, host, to);
      } catch {
        return; // no tunnel just now: the datagram is lost, and resolvers ask again
      }
      if (to.port === DNS_PORT) this.#trace?.asked(to.address, message);
      relay.channel.datagram(message);
    });
    return relay;
  }

  #answeredHere(relay: DatagramRelay, host: string, message: Buffer): boolean {
    const taken = this.#questions?.take(message) ?? "remote";
    if (taken === "remote") return false;
    const { userPort } = relay;
    void taken.then((reply) => {
      if (reply === undefined || relay.isClosed) return;
      this.#names.learn(reply);
      relay.socket.send(reply, userPort, host, () => {});
    });
    return true;
  }

  #openChannel(relay: DatagramRelay, host: string, to: Endpoint): Channel {
    const channel = this.#session.openUdp(to.address, to.port);
    channel.onDatagram = (message) => {
      if (to.port === DNS_PORT) {
        this.#names.learn(message);
        this.#trace?.answered(to.address, message);
      }
      relay.usedAt = performance.now();
      relay.timer.refresh();
      relay.socket.send(message, relay.userPort, host, () => {});
    };
    // What is sent from now on begins anew; a socket that was connected is told, as by ICMP in the pod.
    channel.onReset = (errno) => {
      relay.channel = undefined;
      if (relay.connected && !NO_ICMP.has(errno))
        this.#tap.refuseDatagram(relay.connected, relay.port);
    };
    return channel;
  }

  #sweepLater(): void {
    this.#sweeping ??= setTimeout(() => void this.#sweep(), SWEEP_MS).unref();
  }

  /**
   * Closes relays of sockets that are closed. A new one's may not be connected, or have sent, yet; and a table that is read in
   * pieces, while others open and close theirs, can lack a row, so once is not enough.
   */
  async #sweep(): Promise<void> {
    const until = performance.now() - SWEEP_MS / 2;
    const inUse = await udpPorts();
    for (const [key, opening] of inUse ? [...this.#relays] : []) {
      const relay = await opening.catch(() => undefined);
      if (!relay || relay.usedAt > until) continue;
      const { userPort, port } = relay;
      const isSeen = inUse?.peers.has(port) || inUse?.bound.has(userPort);
      relay.unseen = isSeen ? 0 : relay.unseen + 1;
      if (relay.unseen >= UNSEEN_SWEEPS) await this.#close(key);
    }
    this.#sweeping = undefined;
    if (this.#relays.size > 0) this.#sweepLater();
  }

  async #close(key: string): Promise<void> {
    const relay = await this.#relays.get(key);
    if (!relay || !this.#relays.delete(key)) return;
    clearTimeout(relay.timer);
    relay.channel?.reset("ECONNRESET");
    relay.forget();
    relay.isClosed = true;
    relay.socket.close();
  }

  async close(): Promise<void> {
    clearTimeout(this.#sweeping);
    await Promise.all([...this.#relays.keys()].map((key) => this.#close(key)));
  }
}
