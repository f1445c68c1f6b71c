/** What a session has of the target's UDP ports: asked like those of TCP, and kept apart from them. */
import type { Endpoint, Policy, PortStatus } from "@inpod/protocol";
import type { Channel, Tunnel } from "@inpod/tunnel";
import { Dropped } from "../incoming/udp-dropped.ts";
import type { UdpHolder, UdpPorts } from "../incoming/udp-ports.ts";
import type { Metrics } from "../metrics.ts";
import type { UdpMirror, UdpWatcher } from "../mirror/udp.ts";
import { mayMirror, mayStealPort } from "../policy.ts";

export interface UdpParts {
  readonly ports: UdpPorts;
  readonly mirror: UdpMirror;
  readonly policy: Policy;
  readonly metrics: Metrics;
  readonly name: () => string;
  readonly tunnel: () => Tunnel | undefined;
}

export class SessionUdp implements UdpHolder, UdpWatcher {
  readonly id: string;
  readonly #parts: UdpParts;
  readonly #dropped = new Dropped((port, count) => {
    this.#parts.tunnel()?.notify({ kind: "udp-dropped", port, count });
  });

  readonly #fragmented = new Dropped((port, count) => {
    this.#parts.tunnel()?.notify({ kind: "udp-dropped", port, count, why: "fragments" });
  });

  constructor(id: string, parts: UdpParts) {
    this.id = id;
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.name();
  }

  get status(): PortStatus[] {
    return [...this.#parts.ports.statusOf(this), ...this.#parts.mirror.statusOf(this)];
  }

  async steal(port: number, takesOver: boolean): Promise<Record<string, never>> {
    mayStealPort(this.#parts.policy, false);
    await this.#parts.ports.steal(port, this, takesOver);
    return {};
  }

  async watch(port: number): Promise<Record<string, never>> {
    mayMirror(this.#parts.policy);
    await this.#parts.mirror.watch(port, this);
    return {};
  }

  async release(port: number): Promise<Record<string, never>> {
    await this.#parts.ports.release(port, this);
    await this.#parts.mirror.unwatch(port, this);
    return {};
  }

  async suspend(why: string): Promise<void> {
    await this.#parts.ports.suspend(this, why);
    await this.#parts.mirror.suspend(this);
  }

  async resume(): Promise<void> {
    await this.#parts.ports.resume(this);
    await this.#parts.mirror.resume(this);
  }

  async end(why: string): Promise<void> {
    await this.#parts.ports.releaseAll(this, why);
    await this.#parts.mirror.unwatchAll(this);
    this.#dropped.flush();
    this.#fragmented.flush();
  }

  openFlow(client: Endpoint, local: Endpoint): Channel | undefined {
    this.#parts.metrics.stolen++;
    return this.#open(client, local);
  }

  openCopyFlow(client: Endpoint, local: Endpoint): Channel | undefined {
    this.#parts.metrics.mirrored++;
    return this.#open(client, local);
  }

  udpDropped(port: number): void {
    this.#dropped.add(port);
  }

  udpFragmented(port: number): void {
    this.#fragmented.add(port);
  }

  udpStealLost(port: number, detail: string): void {
    this.#parts.tunnel()?.notify({ kind: "steal-lost", port, protocol: "udp", detail });
  }

  udpMirrorLost(port: number, detail: string): void {
    this.#parts.tunnel()?.notify({ kind: "mirror-lost", port, protocol: "udp", detail });
  }

  #open(client: Endpoint, local: Endpoint): Channel | undefined {
    const tunnel = this.#parts.tunnel();
    if (!tunnel) return undefined;
    this.#parts.metrics.streams++;
    const channel = tunnel.open({ kind: "incoming", protocol: "udp", client, local });
    // A refusal is a reset, too.
    channel.opened.catch(() => undefined);
    return channel;
  }
}
