/**
 * Which session has stolen which port. A port's rule comes and goes (pause, a lost tunnel) while its
 * holder stays; its relay stays as long as connections are open or the rule is there.
 */
import type { Socket } from "node:net";
import type { Rules } from "../control/enter.ts";
import { Failure } from "../failure.ts";
import type { Log } from "../log.ts";
import { Relay } from "./relay.ts";

/**
 * A connection whose SYN was redirected just before a release may reach our backlog just after: so long
 * a relay listens on.
 */
const LINGER_MS = 1000;

export interface Holder {
  /** The session's id. */
  readonly id: string;
  /** Whose it is: other sessions see it when they want the same port. */
  readonly name: string;
  /** Takes the paused socket of a new connection to `port`, or resets it. */
  take(socket: Socket, port: number): void;
  stealLost(port: number, detail: string): void;
}

interface StolenPort {
  readonly port: number;
  holder: Holder | undefined;
  relay: Relay | undefined;
  hasRule: boolean;
}

export class Ports {
  readonly #rules: Rules;
  readonly #log: Log;
  readonly #lingerMs: number;
  readonly #ports = new Map<number, StolenPort>();
  /** One change after the other: what they find decides what they do. */
  #changes: Promise<unknown> = Promise.resolve();
  #sweep: NodeJS.Timeout | undefined;
  #hasTable = false;

  constructor(rules: Rules, log: Log, lingerMs = LINGER_MS) {
    this.#rules = rules;
    this.#log = log;
    this.#lingerMs = lingerMs;
  }

  /** Idempotent for its holder; EADDRINUSE names another one. Also puts the rule of a suspended port back. */
  steal(port: number, holder: Holder): Promise<void> {
    return this.#change(() => this.#addRule(port, holder));
  }

  /** New connections reach the pod from the moment this resolves; open ones live on. Idempotent. */
  release(port: number, holder: Holder): Promise<void> {
    return this.#change(async () => {
      const stolen = this.#ports.get(port);
      if (stolen?.holder !== holder) return;
      await this.#removeRule(stolen, "released");
      stolen.holder = undefined;
    });
  }

  /** All its rules away; the ports stay its own. Stops at the first failure. */
  suspend(holder: Holder, why: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#of(holder)) await this.#removeRule(stolen, why);
    });
  }

  /** Rules back for what suspend() left. */
  resume(holder: Holder): Promise<void> {
    // One change: after a suspend() or releaseAll() that comes meanwhile, none of its rules may come back.
    return this.#change(async () => {
      for (const { port } of this.#of(holder)) await this.#addRule(port, holder);
    });
  }

  /** All its rules away, its connections reset, its ports free. */
  releaseAll(holder: Holder, why: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#of(holder)) {
        await this.#removeRule(stolen, why);
        stolen.relay?.resetConnections();
        stolen.holder = undefined;
      }
    });
  }

  /** nft has ended, and with it every rule: nobody's port is stolen any more. */
  rulesLost(detail: string): Promise<void> {
    return this.#change(async () => {
      for (const stolen of this.#ports.values()) {
        const { holder } = stolen;
        if (!stolen.hasRule) continue;
        stolen.hasRule = false;
        stolen.holder = undefined;
        // Without translation their packets reach nobody.
        stolen.relay?.resetConnections();
        this.#log("steal-lost", { port: stolen.port, session: holder?.id ?? "", why: detail });
        holder?.stealLost(stolen.port, detail);
      }
      this.#sweepLater();
    });
  }

  #of(holder: Holder): StolenPort[] {
    return [...this.#ports.values()].filter((stolen) => stolen.holder === holder);
  }

  #change<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#changes.then(change);
    this.#changes = result.catch(() => undefined);
    return result;
  }

  async #addRule(port: number, holder: Holder): Promise<void> {
    const stolen = this.#ports.get(port) ?? {
      port,
      holder: undefined,
      relay: undefined,
      hasRule: false,
    };
    if (stolen.holder && stolen.holder !== holder) {
      throw new Failure("EADDRINUSE", `port ${port} is stolen by ${stolen.holder.name}`);
    }
    if (stolen.hasRule) return;
    this.#ports.set(port, stolen);
    try {
      stolen.relay ??= await Relay.open({
        onConnection: (socket) => this.#route(stolen, socket),
        onIdle: () => this.#sweepLater(),
      });
      this.#hasTable = true;
      await this.#rules.steal(port, stolen.relay.port);
    } catch (error) {
      this.#sweepLater();
      throw error;
    }
    stolen.holder = holder;
    stolen.hasRule = true;
    this.#log("steal", { port, relay: stolen.relay.port, session: holder.id });
  }

  async #removeRule(stolen: StolenPort, why: string): Promise<void> {
    if (!stolen.hasRule) return;
    await this.#rules.release(stolen.port);
    stolen.hasRule = false;
    this.#log("release", { port: stolen.port, session: stolen.holder?.id ?? "", why });
    this.#sweepLater();
  }

  #route(stolen: StolenPort, socket: Socket): void {
    if (stolen.holder) stolen.holder.take(socket, stolen.port);
    else socket.resetAndDestroy();
  }

  #sweepLater(): void {
    clearTimeout(this.#sweep);
    this.#sweep = setTimeout(() => {
      this.#change(() => this.#removeDrained()).catch((error: Error) =>
        this.#log("drain-failed", { why: error.message }),
      );
    }, this.#lingerMs).unref();
  }

  async #removeDrained(): Promise<void> {
    for (const stolen of this.#ports.values()) {
      if (stolen.hasRule || (stolen.relay?.connectionCount ?? 0) > 0) continue;
      stolen.relay?.close();
      stolen.relay = undefined;
      if (!stolen.holder) this.#ports.delete(stolen.port);
    }
    const isInUse = [...this.#ports.values()].some((stolen) => stolen.relay);
    if (isInUse || !this.#hasTable) return;
    await this.#rules.drained();
    this.#hasTable = false;
    this.#log("drained");
  }
}
