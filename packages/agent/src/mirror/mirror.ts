/**
 * Which session is given copies of which port's connections. Any number of sessions may have the same port; the target
 * answers. What a copy cannot be had of is counted and told.
 */
import type { Readable } from "node:stream";
import type { Endpoint, MirrorMissed, PortStatus } from "@inpod/protocol";
import { Failure } from "../failure.ts";
import type { Log } from "../log.ts";
import { CopyBudget } from "./copies.ts";
import type { OwnEnds } from "./own-ends.ts";
import { parsePacket } from "./packet.ts";
import { RecordReader } from "./records.ts";
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
  /** A copy of a new connection to the watched port; undefined: it cannot have one now. */
  openCopy(client: Endpoint, local: Endpoint, budget: CopyBudget): Sink | undefined;
  missed(port: number, what: MirrorMissed["what"], count: number): void;
  mirrorLost(port: number, detail: string): void;
}

/** Of one watcher and one port. */
interface Watch {
  readonly since: Date;
  copies: number;
}

/** A connection's copies, for each session its own; who no longer watches has none. */
interface Copies {
  readonly port: number;
  readonly sinks: Map<Watcher, Sink>;
}

export class Mirror {
  readonly #capture: Capture;
  readonly #own: OwnEnds;
  readonly #log: Log;
  readonly #budget: CopyBudget;
  readonly #watchers = new Map<number, Map<Watcher, Watch>>();
  /** Ports that come back with resume(). */
  readonly #suspended = new Map<Watcher, Set<number>>();
  readonly #copies = new Set<Copies>();
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
      /** Gets the datagrams, and learns when there are no packets any more. */
      readonly udp?: UdpMirror;
    },
  ) {
    this.#capture = capture;
    this.#own = parts.own;
    this.#log = parts.log;
    this.#udp = parts.udp;
    this.#budget = new CopyBudget(parts.budgetBytes);
    this.#streams = new Streams({
      open: (client, local) => this.#open(client, local),
      missed: (port, what) => this.#missed(port, what),
    });
    const records = new RecordReader({
      onPacket: (bytes, isChecked) => {
        const packet = parsePacket(bytes, isChecked);
        if (packet?.protocol === "udp") this.#udp?.packet(packet);
        else if (packet !== undefined && this.#watchers.has(packet.port))
          this.#streams.packet(packet, performance.now());
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

  /** Connections to `port` that begin from the moment this resolves have a copy. Idempotent. */
  watch(port: number, watcher: Watcher): Promise<void> {
    return this.#change(() => this.#watch(port, watcher));
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
      const ports = this.#suspended.get(watcher) ?? new Set();
      for (const port of this.#portsOf(watcher)) {
        ports.add(port);
        await this.#unwatch(port, watcher);
      }
      this.#suspended.set(watcher, ports);
    });
  }

  resume(watcher: Watcher): Promise<void> {
    return this.#change(async () => {
      for (const port of this.#suspended.get(watcher) ?? []) await this.#watch(port, watcher);
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
      return {
        ...{ port, protocol: "tcp" as const, way: "mirror" as const, isActive: true },
        ...{ sinceMs: watch.since.getTime(), connections: watch.copies, requests: 0 },
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

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #portsOf(watcher: Watcher): number[] {
    return [...this.#watchers].filter(([, set]) => set.has(watcher)).map(([port]) => port);
  }

  async #watch(port: number, watcher: Watcher): Promise<void> {
    const watchers = this.#watchers.get(port);
    if (!watchers) {
      // Known before the answer: packets may overtake it.
      const first = new Map([[watcher, { since: new Date(), copies: 0 }]]);
      this.#watchers.set(port, first);
      try {
        await this.#capture.mirror(port);
      } catch (error) {
        if (this.#watchers.get(port) === first) this.#watchers.delete(port);
        throw error;
      }
    } else if (watchers.has(watcher)) return;
    else watchers.set(watcher, { since: new Date(), copies: 0 });
    this.#sweep ??= setInterval(() => this.#streams.sweep(performance.now()), SWEEP_MS).unref();
    this.#log("mirror", { port, session: watcher.id });
  }

  async #unwatch(port: number, watcher: Watcher): Promise<void> {
    const watchers = this.#watchers.get(port);
    if (!watchers?.delete(watcher)) return;
    for (const copies of this.#copies) {
      if (copies.port !== port) continue;
      copies.sinks.get(watcher)?.reset("ECONNABORTED");
      copies.sinks.delete(watcher);
    }
    this.#log("unmirror", { port, session: watcher.id });
    if (watchers.size > 0) return;
    this.#watchers.delete(port);
    this.#streams.forget(port);
    if (this.#watchers.size === 0) this.#stopSweeping();
    await this.#capture.unmirror(port);
  }

  #stopSweeping(): void {
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  #open(client: Endpoint, local: Endpoint): Sink | undefined {
    if (this.#own.has(client)) return undefined;
    const sinks = new Map<Watcher, Sink>();
    for (const [watcher, watch] of this.#watchers.get(local.port) ?? []) {
      const sink = watcher.openCopy(client, local, this.#budget);
      if (!sink) continue;
      watch.copies++;
      sinks.set(watcher, sink);
    }
    if (sinks.size === 0) return undefined;
    const copies: Copies = { port: local.port, sinks };
    this.#copies.add(copies);
    const each = (act: (sink: Sink) => void): void => {
      for (const sink of sinks.values()) act(sink);
    };
    return {
      data: (bytes) => each((sink) => sink.data(bytes)),
      end: () => {
        this.#copies.delete(copies);
        each((sink) => sink.end());
      },
      reset: (errno) => {
        this.#copies.delete(copies);
        each((sink) => sink.reset(errno));
      },
    };
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
