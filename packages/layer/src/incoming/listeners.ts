/** The tree's listening sockets: where they really are, and the pod's connections that are brought to them. */
import { isIPv6, Socket } from "node:net";
import type { StreamHeader } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { Channel, FilterSpec, IncomingSource, OnConnection, Stolen } from "@inpod/session";
import { copyTo, deliverTls, describeFilter, splice } from "@inpod/session";
import type { Tap, TrappedCall } from "@inpod/tap";
import { decodeAddress, encodeAddress } from "@inpod/tap";
import type { LayerConfig, Reporter } from "../config.ts";
import { holdChannel } from "./held-channel.ts";
import { type ListeningPorts, listeningPorts } from "./listening-ports.ts";
import { podPort, takePort, tellNotTaken, untilTaken, whyElsewhere } from "./take.ts";

type BindCall = Extract<TrappedCall, { kind: "bind" }>;
type ListenCall = Extract<TrappedCall, { kind: "listen" }>;
type IncomingHeader = Extract<StreamHeader, { kind: "incoming" }>;

const EADDRINUSE = errnoNumber("EADDRINUSE");
const EACCES = errnoNumber("EACCES");
/** Below it only root may bind (ip_unprivileged_port_start), and elsewhere it may be taken at any time. */
const FIRST_UNPRIVILEGED = 1024;

/**
 * Sockets that are bound and do not listen (yet): those of clients never do, and that they are closed is not seen. These
 * are more than any program has at once.
 */
const MAX_SILENT = 4096;

/** How often is looked whether the program still listens. */
const LOOK_MS = 400;
/** Times that a port's coming and going is said: a program that is started again at each change does both often. */
const MAX_SAID = 20;

interface Listener {
  readonly requested: number;
  readonly real: number;
  readonly isIPv6Only: boolean;
  /** performance.now() of its last listen(). */
  sinceMs?: number;
}

export class Listeners {
  readonly #tap: Tap;
  readonly #source: IncomingSource;
  readonly #config: LayerConfig["incoming"];
  readonly #reporter: Reporter;
  /** Sockets that were bound, by cookie. */
  readonly #bound = new Map<number, Listener>();
  /** The real port a requested one has had before: it stays the same, so the kernel itself says EADDRINUSE. */
  readonly #sticky = new Map<number, number>();
  /** Those that listen, by the pod's port. */
  readonly #listening = new Map<number, Listener[]>();
  readonly #taken = new Map<number, Promise<Stolen>>();
  /** Ports on their way back to the pod. */
  readonly #releasing = new Map<number, Promise<void>>();
  /** How often a port was given back. */
  readonly #givenBack = new Map<number, number>();
  #look: NodeJS.Timeout | undefined;
  #isLooking = false;

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

  /** Where the tree's listener of this number really is; undefined: the tree has none. */
  realPort(requested: number): number | undefined {
    return this.#listening.get(podPort(this.#config, requested))?.[0]?.real;
  }

  bind(call: BindCall): void {
    const requested = decodeAddress(call.address)?.port ?? 0;
    const real = this.#bindReal(call.token, requested);
    if (real < 0) {
      this.#tap.reply(call.token, 0, -real);
      return;
    }
    this.#sticky.set(requested, real);
    this.#bound.set(call.cookie, { requested, real, isIPv6Only: call.isIPv6Only });
    this.#forgetSilent();
    if (real !== requested) {
      this.#reporter.notice({
        key: `port ${requested}`,
        text: `port ${requested} ${whyElsewhere(this.#config, requested)}: the program listens on 127.0.0.1:${real}`,
      });
    }
    this.#tap.replyBound(call.token, call.address);
  }

  #forgetSilent(): void {
    if (this.#bound.size <= MAX_SILENT) return;
    for (const [cookie, { sinceMs }] of this.#bound) {
      if (sinceMs !== undefined) continue;
      this.#bound.delete(cookie);
      return;
    }
  }

  #bindReal(token: number, requested: number): number {
    const wished = this.#config.listenPorts.get(requested);
    // No other one: whoever wishes it knows where to find the program.
    if (wished !== undefined) return this.#tap.bindSocket(token, wished);
    const sticky = this.#sticky.get(requested);
    if (sticky !== undefined) return this.#tap.bindSocket(token, sticky);
    if (requested >= FIRST_UNPRIVILEGED) {
      const real = this.#tap.bindSocket(token, requested);
      // Taken by a stranger: the pod's port of that number is free all the same.
      if (real !== -EADDRINUSE && real !== -EACCES) return real;
    }
    return this.#tap.bindSocket(token, 0);
  }

  async listen(call: ListenCall): Promise<void> {
    const listener = this.#bound.get(call.cookie);
    if (!listener) {
      this.#tap.continue(call.token);
      return;
    }
    const result = this.#tap.listenSocket(call.token);
    if (result !== 0) {
      this.#tap.reply(call.token, 0, -result);
      return;
    }
    if (listener.real === listener.requested) this.#tap.setNativePort(listener.real, true);
    const port = podPort(this.#config, listener.requested);
    listener.sinceMs = performance.now();
    const others = (this.#listening.get(port) ?? []).filter(
      ({ real, isIPv6Only }) => real !== listener.real || isIPv6Only !== listener.isIPv6Only,
    );
    // IPv4 and dual-stack listeners first: the relay speaks IPv4 with them.
    this.#listening.set(port, listener.isIPv6Only ? [...others, listener] : [listener, ...others]);
    await untilTaken(this.#take(port));
    this.#tap.reply(call.token, 0);
    this.#look ??= setInterval(() => this.#lookForClosed(), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#look);
  }

  #lookForClosed(): void {
    if (this.#isLooking) return;
    this.#isLooking = true;
    const sinceMs = performance.now();
    Promise.resolve(this.#tap.listeningPorts() ?? listeningPorts())
      .then((ports) => {
        if (ports) this.#giveBack(ports, sinceMs);
      })
      .finally(() => {
        this.#isLooking = false;
      });
  }

  /** Of those who listened before the kernel was asked, whoever does not any more. */
  #giveBack({ ipv4, ipv6 }: ListeningPorts, sinceMs: number): void {
    const isOpen = ({ real, isIPv6Only, sinceMs: from = sinceMs }: Listener): boolean =>
      from >= sinceMs || ipv6.has(real) || (!isIPv6Only && ipv4.has(real));
    for (const [port, all] of this.#listening) {
      const open = all.filter(isOpen);
      if (open.length === all.length) continue;
      for (const gone of all.filter((each) => !open.includes(each))) this.#forget(gone);
      if (open.length > 0) this.#listening.set(port, open);
      else {
        this.#listening.delete(port);
        this.#release(port);
      }
    }
    if (this.#listening.size === 0) {
      clearInterval(this.#look);
      this.#look = undefined;
    }
  }

  #forget({ real, requested, isIPv6Only }: Listener): void {
    for (const [cookie, bound] of this.#bound) {
      const isIt = bound.real === real && bound.isIPv6Only === isIPv6Only;
      if (isIt && bound.sinceMs !== undefined) this.#bound.delete(cookie);
    }
    const isElsewhere = [...this.#listening.values()]
      .flat()
      .some((other) => other.real === real && other.isIPv6Only !== isIPv6Only);
    if (real === requested && !isElsewhere) this.#tap.setNativePort(real, false);
  }

  /** Connections that are open stay. */
  #release(port: number): void {
    const taken = this.#taken.get(port);
    this.#taken.delete(port);
    if (taken === undefined) return;
    const count = (this.#givenBack.get(port) ?? 0) + 1;
    this.#givenBack.set(port, count);
    const released = taken
      .then((stolen) => stolen.release())
      .then(
        () => {
          if (count > MAX_SAID) return;
          this.#reporter.notice({
            key: `given back ${port} ${count}`,
            text: `your process does not listen on port ${port} any more: what comes to it is the target's again`,
          });
        },
        () => undefined, // it was never had, or the agent is gone
      )
      .finally(() => this.#releasing.delete(port));
    this.#releasing.set(port, released);
  }

  async #take(port: number): Promise<void> {
    const known = this.#taken.get(port);
    if (known) {
      await known.catch(() => {});
      return;
    }
    const releasing = this.#releasing.get(port);
    if (releasing) {
      await releasing;
      return this.#take(port);
    }
    const isMirror = this.#config.mode === "mirror";
    const onConnection: OnConnection = (channel, header) => this.#connection(channel, header, port);
    const filter = this.#filterOf(port);
    const taken = takePort(this.#source, this.#config, port, onConnection, { filter });
    this.#taken.set(port, taken);
    try {
      await taken;
      this.#reporter.notice({
        key: `taken ${port} ${Math.min(this.#givenBack.get(port) ?? 0, MAX_SAID)}`,
        text: isMirror ? mirroredWords(port, filter) : stolenWords(port, filter),
      });
    } catch (error) {
      this.#taken.delete(port);
      tellNotTaken(this.#reporter, this.#config, port, `port ${port}`, error);
    }
  }

  #noTls(port: number, why: string): void {
    this.#reporter.notice({
      key: `no tls ${port}`,
      text: `your process does not speak TLS on port ${port} as it must (${why}): feature.network.incoming.tls_delivery says how; with its protocol "tcp" the process gets what was inside`,
    });
  }

  #filterOf(port: number): FilterSpec | undefined {
    const { httpFilter } = this.#config;
    const isFiltered = httpFilter?.ports === undefined || httpFilter.ports.includes(port);
    return isFiltered ? httpFilter?.filter : undefined;
  }

  /** A port has listeners of IPv6 only beside others (nginx), or alone; IPv4's clients are never theirs. */
  #listenerFor(address: string, port: number): Listener | undefined {
    const all = this.#listening.get(port) ?? [];
    const forIPv6 = all.find((each) => each.isIPv6Only);
    const others = all.find((each) => !each.isIPv6Only);
    if (isIPv6(address)) return forIPv6 ?? others;
    if (others === undefined && forIPv6 !== undefined) {
      this.#reporter.notice({
        key: `no IPv4 ${port}`,
        text: `a client came to port ${port} by IPv4, and your process listens for IPv6 only: its connection was reset`,
      });
    }
    return others;
  }

  #connection(channel: Channel, header: IncomingHeader, port: number): void {
    const { client, local } = header;
    const listener = this.#listenerFor(local.address, port);
    if (listener === undefined) {
      channel.reset("ECONNREFUSED");
      return;
    }
    const fd = this.#tap.connectToUser(
      listener.real,
      listener.isIPv6Only,
      encodeAddress(local.address, local.port),
      encodeAddress(client.address, client.port),
    );
    if (typeof fd === "number") {
      this.#connected(fd, channel, header, port, listener);
      return;
    }
    const tellHeld = holdChannel(channel);
    void fd.then((later) => {
      this.#connected(later, channel, header, port, listener);
      tellHeld();
    });
  }

  #connected(
    fd: number,
    channel: Channel,
    header: IncomingHeader,
    port: number,
    listener: Listener,
  ): void {
    if (fd < 0) {
      channel.reset("ECONNREFUSED");
      return;
    }
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    socket.setNoDelay(true);
    const ours = socket.localPort;
    if (ours !== undefined) socket.on("close", this.#tap.nameAt("incoming", ours, listener.real));
    const { mode, tlsDelivery } = this.#config;
    if (mode === "mirror" && header.needsAnswers !== true)
      copyTo(socket, channel, this.#filterOf(port) !== undefined);
    else if (header.tls === undefined || tlsDelivery?.protocol === "tcp") splice(socket, channel);
    else
      deliverTls(socket, channel, header.tls, tlsDelivery, ({ why }) => {
        this.#noTls(port, why);
        channel.reset("ECONNRESET");
      });
  }
}

const stolenWords = (port: number, filter: FilterSpec | undefined): string =>
  filter === undefined
    ? `connections to port ${port} of the target now arrive at your process`
    : `requests to port ${port} of the target now arrive at your process if they match: ${describeFilter(filter)}`;

const mirroredWords = (port: number, filter: FilterSpec | undefined): string =>
  filter === undefined
    ? `what clients send to port ${port} of the target is copied to your process; the target answers them (--steal: your process does)`
    : `requests to port ${port} of the target are copied to your process if they match: ${describeFilter(filter)}; the target answers them (--steal: your process does)`;
