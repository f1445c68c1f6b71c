/**
 * The tree's UDP sockets that stand for ports of the pod. Such a socket is bound on this machine as the program has asked:
 * it may serve or send on the developer's own links, too. Only where that cannot be had it is on loopback, on another port.
 */
import type { Endpoint } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { IncomingSource, OnConnection, Stolen } from "@inpod/session";
import type { Tap, TrappedCall } from "@inpod/tap";
import { decodeAddress } from "@inpod/tap";
import type { LayerConfig, Reporter } from "../config.ts";
import { podPort, takePort, tellNotTaken, untilTaken, whyElsewhere } from "./take.ts";
import { UdpAskers } from "./udp-askers.ts";
import { boundUdpPorts } from "./udp-bound.ts";
import { UdpFlow } from "./udp-flows.ts";

type BindCall = Extract<TrappedCall, { kind: "bind" }>;

/** How soon a program that has closed its socket is missed, if no datagram tells. */
const LOOK_MS = 1000;
/** A socket that turns out to be a resolver's by then is not worth a word. */
const TELL_MS = 100;
/** Clients of all ports: each has a socket of ours. The agent ends those that are silent. */
const MAX_FLOWS = 2048;
/** Taken by a stranger, not ours to take, or an address of the pod: of loopback, another port then. */
const ELSEWHERE = new Set(
  ["EADDRINUSE", "EACCES", "EADDRNOTAVAIL"].map((name) => -errnoNumber(name)),
);

/** Addresses by which it is reached from loopback. */
const REACHED = new Map<string, "127.0.0.1" | "::1">([
  ["0.0.0.0", "127.0.0.1"],
  ["127.0.0.1", "127.0.0.1"],
  ["::", "127.0.0.1"],
  ["::1", "::1"],
]);

interface Bound {
  readonly cookie: number;
  readonly requested: number;
  readonly real: number;
  /** Where it is reached. */
  readonly host: "127.0.0.1" | "::1";
  readonly isIPv6: boolean;
  readonly isIPv6Only: boolean;
}

type Sender = Pick<BindCall, "cookie" | "tgid">;

interface PodPort {
  readonly port: number;
  readonly taken: Promise<Stolen>;
  /** Newest first. */
  sockets: Bound[];
  /** By the client: the last one that was heard of. */
  readonly flows: Map<string, UdpFlow>;
  /** Somebody has been a client of it. */
  isHeard: boolean;
}

const keyOf = ({ address, port }: Endpoint): string => `${address} ${port}`;

export class UdpServers {
  readonly #tap: Tap;
  readonly #source: IncomingSource;
  readonly #config: LayerConfig["incoming"];
  readonly #reporter: Reporter;
  readonly #bound = new Map<number, Bound>();
  /** On loopback, for ports that could not be had: the same again, so that the kernel itself says EADDRINUSE. */
  readonly #elsewhere = new Map<number, number>();
  readonly #asAsked = new Set<number>();
  readonly #ports = new Map<number, PodPort>();
  readonly #askers = new UdpAskers();
  #flowCount = 0;
  #looking: NodeJS.Timeout | undefined;

  constructor(
    tap: Tap,
    source: IncomingSource,
    config: LayerConfig["incoming"],
    reporter: Reporter,
  ) {
    this.#tap = tap;
    this.#source = source;
    this.#config = config;
    this.#reporter = reporter;
  }

  async bind(call: BindCall): Promise<void> {
    const asked = decodeAddress(call.address);
    const requested = asked?.port ?? 0;
    const reached = REACHED.get(asked?.address ?? "");
    const real = this.#bindReal(call.token, requested, reached !== undefined);
    if (real < 0) {
      this.#tap.reply(call.token, 0, -real);
      return;
    }
    if (real !== requested) {
      this.#reporter.notice({
        key: `UDP port ${requested}`,
        text: `UDP port ${requested} ${whyElsewhere(this.#config, requested)}: the program receives on 127.0.0.1:${real} here`,
      });
    }
    const { cookie, isIPv6, isIPv6Only } = call;
    const isOnIPv6 = isIPv6Only || (reached === "::1" && real === requested);
    const host = isOnIPv6 ? ("::1" as const) : ("127.0.0.1" as const);
    const socket = { cookie, requested, real, host, isIPv6, isIPv6Only };
    this.#bound.set(cookie, socket);
    const isHeld = this.#askers.hold(call.tgid, requested, cookie, () => void this.#take(socket));
    if (!isHeld) await untilTaken(this.#take(socket));
    this.#tap.replyBound(call.token, call.address);
  }

  /** Where the tree's socket of this number really is; undefined: the tree has none. */
  realPort(requested: number): number | undefined {
    return this.#ports.get(podPort(this.#config, requested))?.sockets[0]?.real;
  }

  /** Our port that stands for `to`, where that is a client of the port to which the socket is bound. */
  flowPort(cookie: number, to: Endpoint): number | undefined {
    const socket = this.#bound.get(cookie);
    const flow = socket && this.#portOf(socket)?.flows.get(keyOf(to));
    return flow?.port || undefined;
  }

  /** A bound socket has been connected to somebody who is no client of it: it is not there to serve. */
  connected({ cookie, tgid }: Sender, to: Endpoint): void {
    const socket = this.#bound.get(cookie);
    if (!socket) return;
    this.#askers.isQuestion(tgid, socket.requested, to);
    this.#isClients(socket);
  }

  /** The same of one that is not connected, and of which nobody has been a client: whether it only asks for names. */
  async sending({ cookie, tgid }: Sender, to: Endpoint): Promise<void> {
    const socket = this.#bound.get(cookie);
    if (!socket || this.#portOf(socket)?.isHeard) return;
    if (this.#askers.isQuestion(tgid, socket.requested, to)) this.#isClients(socket);
    else if (this.#askers.release(cookie)) await untilTaken(this.#take(socket));
  }

  #isClients(socket: Bound): void {
    const { cookie } = socket;
    if (this.#askers.release(cookie)) this.#bound.delete(cookie);
    else this.#forget(socket, (each) => each.cookie === cookie);
  }

  close(): void {
    clearInterval(this.#looking);
    this.#askers.close();
    for (const { flows } of this.#ports.values())
      for (const flow of [...flows.values()]) flow.close("ECONNRESET");
  }

  /** @param isReached whether the address that it asks for is one of this machine by which we reach it */
  #bindReal(token: number, requested: number, isReached: boolean): number {
    const wished = this.#config.listenPorts.get(requested);
    if (wished !== undefined) return this.#tap.bindSocket(token, wished);
    const elsewhere = this.#elsewhere.get(requested);
    if (elsewhere !== undefined) return this.#tap.bindSocket(token, elsewhere);
    const asAsked = isReached
      ? this.#tap.bindAsAsked(token)
      : this.#tap.bindSocket(token, requested);
    if (asAsked >= 0) this.#asAsked.add(requested);
    // One of the tree's own has it: that is what the program is to hear.
    if (!ELSEWHERE.has(asAsked) || this.#asAsked.has(requested)) return asAsked;
    const real = this.#tap.bindSocket(token, 0);
    if (real >= 0) this.#elsewhere.set(requested, real);
    return real;
  }

  async #take(socket: Bound): Promise<void> {
    const port = podPort(this.#config, socket.requested);
    const known = this.#ports.get(port);
    if (known) {
      known.sockets = [socket, ...known.sockets];
      await known.taken.catch(() => {});
      return;
    }
    const onConnection: OnConnection = (channel, { client, local }) =>
      this.#connection(port, channel, client, local);
    const taken = takePort(this.#source, this.#config, port, onConnection, { protocol: "udp" });
    const entry: PodPort = { port, taken, sockets: [socket], flows: new Map(), isHeard: false };
    this.#ports.set(port, entry);
    this.#looking ??= setInterval(() => void this.#look(), LOOK_MS).unref();
    try {
      await taken;
      setTimeout(() => {
        if (this.#ports.get(port) === entry) this.#tellTaken(port);
      }, TELL_MS).unref();
    } catch (error) {
      if (this.#ports.get(port) === entry) this.#ports.delete(port);
      tellNotTaken(this.#reporter, this.#config, port, `UDP port ${port}`, error);
    }
  }

  #tellTaken(port: number): void {
    const isMirror = this.#config.mode === "mirror";
    this.#reporter.notice({
      key: `UDP taken ${port}`,
      text: isMirror
        ? `datagrams that clients send to UDP port ${port} of the target are copied to your process; the target answers them (--steal: your process does)`
        : `datagrams to UDP port ${port} of the target now arrive at your process`,
    });
  }

  #connection(
    port: number,
    channel: Parameters<OnConnection>[0],
    client: Endpoint,
    local: Endpoint,
  ): void {
    const entry = this.#ports.get(port);
    const isIPv6 = client.address.includes(":");
    // In the pod a socket of IPv4 would hear nothing of IPv6 either.
    const socket = entry?.sockets.find((each) => (isIPv6 ? each.isIPv6 : !each.isIPv6Only));
    if (!entry || !socket || this.#flowCount >= MAX_FLOWS) {
      channel.reset(this.#flowCount >= MAX_FLOWS ? "EMFILE" : "ECONNREFUSED");
      return;
    }
    const key = keyOf(client);
    entry.isHeard = true;
    this.#flowCount++;
    const flow = new UdpFlow({
      tap: this.#tap,
      channel,
      client,
      local,
      real: { port: socket.real, host: socket.host },
      answers: this.#config.mode === "steal",
      onEnd: (isRefused) => {
        this.#flowCount--;
        if (entry.flows.get(key) === flow) entry.flows.delete(key);
        if (isRefused)
          this.#forget(socket, ({ real, host }) => real === socket.real && host === socket.host);
      },
    });
    entry.flows.set(key, flow);
  }

  async #look(): Promise<void> {
    const before = [...this.#ports.values()].flatMap(({ sockets }) => sockets);
    const bound = before.length > 0 ? await boundUdpPorts() : undefined;
    if (!bound) return;
    for (const socket of before)
      if (!bound.has(socket.real)) this.#forget(socket, (each) => each === socket);
  }

  /** It is closed, or a client's: where it was the last one, the pod has its port back. */
  #forget(socket: Bound, isGone: (socket: Bound) => boolean): void {
    const entry = this.#portOf(socket);
    if (!entry) return;
    for (const { cookie } of entry.sockets.filter(isGone)) this.#bound.delete(cookie);
    entry.sockets = entry.sockets.filter((each) => !isGone(each));
    if (entry.sockets.length > 0) return;
    this.#ports.delete(entry.port);
    for (const flow of [...entry.flows.values()]) flow.close("ECONNREFUSED");
    entry.taken.then((stolen) => stolen.release()).catch(() => {}); // without a tunnel the next one is told
  }

  #portOf(socket: Bound): PodPort | undefined {
    return this.#ports.get(podPort(this.#config, socket.requested));
  }
}
