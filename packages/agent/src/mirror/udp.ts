/** Which session is given copies of which UDP port's datagrams: what each client sends is a flow of its own. */
import type { Endpoint, PortStatus } from "@inpod/protocol";
import type { Channel } from "@inpod/tunnel";
import { FLOW_LIMITS, type FlowLimits, Flows } from "../incoming/udp-flows.ts";
import type { Log } from "../log.ts";
import type { OwnEnds } from "./own-ends.ts";
import { endsOf, type Packet } from "./packet.ts";

const SWEEP_MS = 1000;

/** What mirroring UDP needs of enter; as Capture. */
export interface UdpCapture {
  mirrorUdp(port: number): Promise<void>;
  unmirrorUdp(port: number): Promise<void>;
}

export interface UdpWatcher {
  /** The session's id. */
  readonly id: string;
  /** A stream for what this client sends; undefined: there is none now. */
  openCopyFlow(client: Endpoint, local: Endpoint): Channel | undefined;
  udpDropped(port: number): void;
  udpFragmented(port: number): void;
  udpMirrorLost(port: number, detail: string): void;
}

export class UdpMirror {
  readonly #capture: UdpCapture;
  readonly #own: Pick<OwnEnds, "has">;
  readonly #log: Log;
  readonly #limits: FlowLimits;
  readonly #watchers = new Map<number, Map<UdpWatcher, Flows>>();
  /** Ports that come back with resume(). */
  readonly #suspended = new Map<UdpWatcher, Set<number>>();
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;

  constructor(
    capture: UdpCapture,
    parts: { readonly own: Pick<OwnEnds, "has">; readonly log: Log },
    limits = FLOW_LIMITS,
  ) {
    this.#capture = capture;
    this.#own = parts.own;
    this.#log = parts.log;
    this.#limits = limits;
  }

  /** Datagrams that arrive from the moment this resolves are copied. Idempotent. */
  watch(port: number, watcher: UdpWatcher): Promise<void> {
    return this.#change(() => this.#watch(port, watcher));
  }

  unwatch(port: number, watcher: UdpWatcher): Promise<void> {
    return this.#change(async () => {
      this.#suspended.get(watcher)?.delete(port);
      await this.#unwatch(port, watcher);
    });
  }

  /** All its ports; they come back with resume(). */
  suspend(watcher: UdpWatcher): Promise<void> {
    return this.#change(async () => {
      const ports = this.#suspended.get(watcher) ?? new Set();
      this.#suspended.set(watcher, ports);
      for (const port of this.#portsOf(watcher)) {
        ports.add(port);
        await this.#unwatch(port, watcher);
      }
    });
  }

  resume(watcher: UdpWatcher): Promise<void> {
    return this.#change(async () => {
      for (const port of this.#suspended.get(watcher) ?? []) await this.#watch(port, watcher);
      this.#suspended.delete(watcher);
    });
  }

  unwatchAll(watcher: UdpWatcher): Promise<void> {
    return this.#change(async () => {
      this.#suspended.delete(watcher);
      for (const port of this.#portsOf(watcher)) await this.#unwatch(port, watcher);
    });
  }

  statusOf(watcher: UdpWatcher): PortStatus[] {
    return [...this.#watchers].flatMap(([port, watchers]) => {
      const flows = watchers.get(watcher);
      if (!flows) return [];
      return {
        ...{ port, protocol: "udp" as const, way: "mirror" as const, isActive: true },
        ...{ sinceMs: flows.since.getTime(), connections: flows.opened, requests: 0 },
      };
    });
  }

  /** A datagram that has arrived at the target. */
  packet(packet: Packet): void {
    const watchers = this.#watchers.get(packet.port);
    if (!watchers) return;
    const { client, local } = endsOf(packet.key);
    // What the user's program has sent by way of the pod would come back to it, and make it send again, for ever.
    if (this.#own.has(client)) return;
    for (const flows of watchers.values()) flows.datagram(packet.payload, client, local);
  }

  /** The first fragment of a datagram, which cannot be understood by itself. */
  fragment(port: number): void {
    for (const watcher of this.#watchers.get(port)?.keys() ?? []) watcher.udpFragmented(port);
  }

  /** There are no packets any more: nobody's port is mirrored. */
  lost(detail: string): void {
    const all = [...this.#watchers];
    this.#watchers.clear();
    this.#tidy();
    for (const [port, watchers] of all) {
      this.#log("mirror-lost", { port, protocol: "udp", why: detail });
      for (const [watcher, flows] of watchers) {
        flows.close("ECONNABORTED");
        watcher.udpMirrorLost(port, detail);
      }
    }
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  #portsOf(watcher: UdpWatcher): number[] {
    return [...this.#watchers].filter(([, all]) => all.has(watcher)).map(([port]) => port);
  }

  async #watch(port: number, watcher: UdpWatcher): Promise<void> {
    const known = this.#watchers.get(port);
    if (known?.has(watcher)) return;
    const watchers = known ?? new Map<UdpWatcher, Flows>();
    // Known before the answer: packets may overtake it.
    watchers.set(watcher, this.#flows(port, watcher));
    this.#watchers.set(port, watchers);
    if (!known) {
      try {
        await this.#capture.mirrorUdp(port);
      } catch (error) {
        if (this.#watchers.get(port) === watchers) this.#watchers.delete(port);
        throw error;
      }
    }
    this.#sweep ??= setInterval(() => {
      for (const all of this.#watchers.values()) for (const flows of all.values()) flows.sweep();
    }, SWEEP_MS).unref();
    this.#log("mirror", { port, protocol: "udp", session: watcher.id });
  }

  #flows(port: number, watcher: UdpWatcher): Flows {
    return new Flows(
      {
        open: (client, local) => watcher.openCopyFlow(client, local),
        dropped: () => watcher.udpDropped(port),
      },
      () => performance.now(),
      this.#limits,
    );
  }

  async #unwatch(port: number, watcher: UdpWatcher): Promise<void> {
    const watchers = this.#watchers.get(port);
    const flows = watchers?.get(watcher);
    if (!watchers || !flows) return;
    watchers.delete(watcher);
    flows.close("ECONNABORTED");
    this.#log("unmirror", { port, protocol: "udp", session: watcher.id });
    if (watchers.size > 0) return;
    this.#watchers.delete(port);
    this.#tidy();
    await this.#capture.unmirrorUdp(port);
  }

  #tidy(): void {
    if (this.#watchers.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }
}
