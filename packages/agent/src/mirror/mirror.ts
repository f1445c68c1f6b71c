/**
 * Which session is given copies of which port's connections. Any number of sessions may have the same port; the target
 * answers. What a copy cannot be had of is counted and told.
 */
import type { Readable } from "node:stream";
import { isDeepStrictEqual } from "node:util";
import { compileFilter, describeFilter, type Filter, type FilterSpec } from "@inpod/http";
import type { Endpoint, MirrorMissed, PortStatus } from "@inpod/protocol";
import type { OutgoingChannel } from "@inpod/tunnel";
import { Failure } from "../failure.ts";
import type { PortProbes } from "../incoming/probes.ts";
import type { Log } from "../log.ts";
import { ConnectionCopies } from "./connection-copies.ts";
import { CopyBudget } from "./copies.ts";
import type { OwnEnds } from "./own-ends.ts";
import { firstFragment, parsePacket } from "./packet.ts";
import { RecordReader } from "./records.ts";
import { type Redirections, withoutRedirected } from "./redirected.ts";
import { type Sink, Streams } from "./streams.ts";
import type { UdpMirror } from "./udp.ts";

const SWEEP_MS = 500;

/** What mirroring needs of enter. Each rejects with a Failure; afterwards everything is as before. Idempotent. */
export interface Capture {
  /** From now on the reader of packets says what arrives at `port`. */
  mirror(port: number): Promise<void>;
  unmirror(port: number): Promise<void>;
}

export interface Watcher {
  /** The session's id. */
  readonly id: string;
  /**
   * A stream for copies of what this client sends to the watched port; undefined: it cannot have one now.
   * `needsAnswers`: what the program says comes back.
   */
  openCopy(client: Endpoint, local: Endpoint, needsAnswers: boolean): OutgoingChannel | undefined;
  /** What of the port is the kubelet's, and not copied. */
  probes(port: number): PortProbes | undefined;
  missed(port: number, what: MirrorMissed["what"], count: number): void;
  mirrorLost(port: number, detail: string): void;
}

/** What one watcher wants of one port. */
interface Watch {
  /** Which requests; undefined: all of each connection. */
  readonly filter: Filter | undefined;
  readonly since: Date;
  copies: number;
  requests: number;
}

export class Mirror {
  readonly #capture: Capture;
  readonly #own: OwnEnds;
  readonly #log: Log;
  readonly #budget: CopyBudget;
  readonly #watchers = new Map<number, Map<Watcher, Watch>>();
  /** Ports that come back with resume(). */
  readonly #suspended = new Map<Watcher, Map<number, FilterSpec | undefined>>();
  /** Of a port's connections. */
  readonly #copies = new Map<ConnectionCopies<Watcher>, number>();
  readonly #streams: Streams;
  readonly #udp: UdpMirror | undefined;
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;

  /** @param packets what the reader of packets says */
  constructor(
    capture: Capture,
    packets: Readable,
    parts: {
      readonly own: OwnEnds;
      readonly log: Log;
      readonly budgetBytes: number;
      readonly redirections: Redirections;
      /** Gets the datagrams, and learns when there are no packets any more. */
      readonly udp?: UdpMirror;
      /** A client has ended its connection to this port without a byte. */
      readonly onUntouched?: (port: number) => void;
    },
  ) {
    this.#capture = capture;
    this.#own = parts.own;
    this.#log = parts.log;
    this.#udp = parts.udp;
    this.#budget = new CopyBudget(parts.budgetBytes);
    this.#streams = new Streams(
      withoutRedirected(
        {
          open: (client, local) => this.#open(client, local),
          missed: (port, what) => this.#missed(port, what),
          untouched: (port) => parts.onUntouched?.(port),
        },
        parts.redirections,
      ),
    );
    const records = new RecordReader({
      onPacket: (bytes, isChecked) => {
        const packet = parsePacket(bytes, isChecked);
        if (packet === undefined) this.#unread(bytes);
        else if (packet.protocol === "udp") this.#udp?.packet(packet);
        else if (this.#watchers.has(packet.port)) this.#streams.packet(packet, performance.now());
      },
      onLost: (count) => this.#lostPackets(count),
    });
    packets.on("data", (chunk: Buffer) => {
      try {
        records.push(chunk);
      } catch (error) {
        // The two ends do not agree, and nothing that follows has a meaning.
        if (!(error instanceof Failure)) throw error;
        packets.destroy(error);
      }
    });
    packets.on("error", () => undefined);
    packets.on("close", () => this.lost("the reader of packets has ended"));
  }

  /**
   * Connections to `port` that begin from the moment this resolves have a copy, or with a filter those of their requests
   * that match. Idempotent; another filter replaces the one before, whose copies are reset.
   */
  watch(port: number, watcher: Watcher, filter?: FilterSpec): Promise<void> {
    return this.#change(() => this.#watch(port, watcher, filter));
  }

  /** Its copies of the port's connections are reset. Idempotent. */
  unwatch(port: number, watcher: Watcher): Promise<void> {
    return this.#change(async () => {
      this.#suspended.get(watcher)?.delete(port);
      await this.#unwatch(port, watcher);
    });
  }

  /** All its ports; they come back with resume(). */
  suspend(watcher: Watcher): Promise<void> {
    return this.#change(async () => {
      const ports = this.#suspended.get(watcher) ?? new Map();
      for (const port of this.#portsOf(watcher)) {
        ports.set(port, this.#watchers.get(port)?.get(watcher)?.filter?.spec);
        await this.#unwatch(port, watcher);
      }
      this.#suspended.set(watcher, ports);
    });
  }

  resume(watcher: Watcher): Promise<void> {
    return this.#change(async () => {
      for (const [port, filter] of this.#suspended.get(watcher) ?? [])
        await this.#watch(port, watcher, filter);
      this.#suspended.delete(watcher);
    });
  }

  unwatchAll(watcher: Watcher): Promise<void> {
    return this.#change(async () => {
      this.#suspended.delete(watcher);
      for (const port of this.#portsOf(watcher)) await this.#unwatch(port, watcher);
    });
  }

  statusOf(watcher: Watcher): PortStatus[] {
    return [...this.#watchers].flatMap(([port, watchers]) => {
      const watch = watchers.get(watcher);
      if (watch === undefined) return [];
      const { filter } = watch;
      return {
        ...(filter === undefined ? {} : { filter: describeFilter(filter.spec) }),
        ...{ port, protocol: "tcp" as const, way: "mirror" as const, isActive: true },
        ...{ sinceMs: watch.since.getTime(), connections: watch.copies, requests: watch.requests },
      };
    });
  }

  /** There are no packets any more: nobody's port is mirrored. */
  lost(detail: string): void {
    this.#udp?.lost(detail);
    this.#streams.forget();
    const all = [...this.#watchers];
    this.#watchers.clear();
    this.#stopSweeping();
    for (const [port, watchers] of all) {
      this.#log("mirror-lost", { port, why: detail });
      for (const watcher of watchers.keys()) watcher.mirrorLost(port, detail);
    }
  }

  #unread(bytes: Buffer): void {
    const fragment = firstFragment(bytes);
    if (fragment?.protocol === "udp") this.#udp?.fragment(fragment.port);
    else if (fragment !== undefined) this.#streams.fragment(fragment.key);
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #portsOf(watcher: Watcher): number[] {
    return [...this.#watchers].filter(([, set]) => set.has(watcher)).map(([port]) => port);
  }

  async #watch(port: number, watcher: Watcher, spec: FilterSpec | undefined): Promise<void> {
    const watchers = this.#watchers.get(port);
    const filter = spec === undefined ? undefined : compileFilter(spec);
    const watch: Watch = { filter, since: new Date(), copies: 0, requests: 0 };
    if (!watchers) {
      // Known before the answer: packets may overtake it.
      const first = new Map([[watcher, watch]]);
      this.#watchers.set(port, first);
      try {
        await this.#capture.mirror(port);
      } catch (error) {
        if (this.#watchers.get(port) === first) this.#watchers.delete(port);
        throw error;
      }
    } else {
      const known = watchers.get(watcher);
      if (known !== undefined && isDeepStrictEqual(known.filter?.spec, spec)) return;
      this.#leave(port, watcher);
      watchers.set(watcher, watch);
    }
    this.#sweep ??= setInterval(() => this.#streams.sweep(performance.now()), SWEEP_MS).unref();
    const which = spec === undefined ? {} : { filter: describeFilter(spec) };
    this.#log("mirror", { port, session: watcher.id, ...which });
  }

  async #unwatch(port: number, watcher: Watcher): Promise<void> {
    const watchers = this.#watchers.get(port);
    if (!watchers?.delete(watcher)) return;
    this.#leave(port, watcher);
    this.#log("unmirror", { port, session: watcher.id });
    if (watchers.size > 0) return;
    this.#watchers.delete(port);
    this.#streams.forget(port);
    if (this.#watchers.size === 0) this.#stopSweeping();
    await this.#capture.unmirror(port);
  }

  #leave(port: number, watcher: Watcher): void {
    for (const [copies, of] of this.#copies) if (of === port) copies.leave(watcher, "ECONNABORTED");
  }

  #stopSweeping(): void {
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #open(client: Endpoint, local: Endpoint): Sink | undefined {
    const { port } = local;
    const watchers = this.#watchers.get(port);
    if (watchers === undefined || this.#own.has(client)) return undefined;
    const copies = new ConnectionCopies(
      client.address,
      watchers,
      {
        open: (watcher, needsAnswers) => {
          const channel = watcher.openCopy(client, local, needsAnswers);
          const watch = watchers.get(watcher);
          if (channel !== undefined && watch !== undefined) watch.copies++;
          return channel;
        },
        probes: (watcher) => watcher.probes(port),
        request: (watcher) => {
          const watch = watchers.get(watcher);
          if (watch !== undefined) watch.requests++;
        },
        missed: (watcher, what) => watcher.missed(port, what, 1),
        budget: this.#budget,
      },
      (ended) => this.#copies.delete(ended),
    );
    if (copies.isEmpty) return undefined;
    this.#copies.set(copies, port);
    return copies;
  }

  #missed(port: number, what: MirrorMissed["what"]): void {
    for (const watcher of this.#watchers.get(port)?.keys() ?? []) watcher.missed(port, what, 1);
  }

  #lostPackets(count: number): void {
    this.#log("packets-lost", { count });
    this.#streams.packetsLost(performance.now());
    const all = new Set([...this.#watchers.values()].flatMap((watchers) => [...watchers.keys()]));
    for (const watcher of all) watcher.missed(0, "packets", count);
  }
}
