/**
 * One client's connection with what decides about its bytes: the passage's commands are done on real sockets, both ways
 * with back-pressure.
 */
import type { Socket } from "node:net";
import type { Command } from "@inpod/http";
import type { Drainable, Draining } from "./draining.ts";
import type { Passage } from "./raw.ts";
import { reset } from "./reset.ts";
import type { Upstream, UpstreamEvents } from "./upstream.ts";

/** For a body that decides. mirrord's agent.max_body_buffer_timeout. */
const BODY_MS = 1000;
/** After our FIN, for the client's. nginx: lingering_timeout 5 s. */
const LINGER_MS = 5000;
/** Bytes for the client that it has not taken, before the upstream must wait. */
const HIGH_WATER = 256 * 1024;

export interface ConnectionParts<D> {
  /** A connection to `to`; undefined: there is none. */
  open(to: D, events: UpstreamEvents): Upstream | undefined;
  /** Once for each connection that is not split. */
  onRaw(to: D, why: string): void;
  /** Of the port. */
  readonly draining: Pick<Draining, "add" | "delete">;
}

export class Connection<D> implements Drainable {
  readonly #client: Socket;
  readonly #passage: Passage<D>;
  readonly #parts: ConnectionParts<D>;
  readonly #upstreams = new Map<number, Upstream>();
  /** Upstreams that have said: not now. */
  readonly #full = new Set<number>();
  #bodyTimer: NodeJS.Timeout | undefined;
  #isLingering = false;
  /** What the client has not taken is not paid back yet. */
  readonly #owed: (() => void)[] = [];

  constructor(client: Socket, passage: Passage<D>, parts: ConnectionParts<D>) {
    this.#client = client;
    this.#passage = passage;
    this.#parts = parts;
  }

  start(early: Buffer): void {
    const client = this.#client;
    client.on("data", (bytes) => this.#run(this.#passage.clientBytes(bytes)));
    client.on("end", () => this.#run(this.#passage.clientEnd()));
    client.on("drain", () => {
      for (const taken of this.#owed.splice(0)) taken();
      this.#run([]);
    });
    client.on("close", (hadError) => {
      clearTimeout(this.#bodyTimer);
      this.#parts.draining.delete(this);
      // Where both sides have ended, so have the upstreams, which may still be sending what they were given.
      if (!hadError && client.readableEnded && client.writableFinished) return;
      if (!this.#passage.isOver) this.#run(this.#passage.clientReset());
      for (const upstream of this.#upstreams.values()) upstream.reset();
      this.#upstreams.clear();
    });
    this.#run(this.#passage.clientBytes(early));
    if (client.readableEnded) this.#run(this.#passage.clientEnd());
    // Not before it has its first bytes: it would end as one on which nothing is asked.
    if (!client.destroyed) this.#parts.draining.add(this);
  }

  drain(): void {
    const isOpen = !this.#client.destroyed && !this.#passage.isOver;
    if (isOpen) this.#run(this.#passage.drain?.() ?? []);
  }

  isAsking(to: unknown): boolean {
    return !this.#client.destroyed && this.#passage.isAsking?.(to as D) === true;
  }

  leave(to: unknown): void {
    const isOpen = !this.#client.destroyed && !this.#passage.isOver;
    if (isOpen) this.#run(this.#passage.leave?.(to as D) ?? []);
  }

  #run(commands: readonly Command<D>[]): void {
    for (const command of commands) this.#do(command);
    if (this.#passage.isOver) {
      this.#linger();
      return;
    }
    const isUnread =
      this.#passage.isAnswering === true && this.#client.writableLength >= HIGH_WATER;
    if (this.#passage.wantsClientBytes && this.#full.size === 0 && !isUnread) this.#client.resume();
    else this.#client.pause();
    if (!this.#passage.isWaitingForBody) {
      if (this.#bodyTimer !== undefined) clearTimeout(this.#bodyTimer);
      this.#bodyTimer = undefined;
    } else {
      this.#bodyTimer ??= setTimeout(() => {
        this.#bodyTimer = undefined;
        this.#run(this.#passage.bodyDeadline());
      }, BODY_MS);
    }
  }

  /** Closed at once, what it still sends would be answered by a reset, which can overtake our answer. */
  #linger(): void {
    if (this.#isLingering || this.#client.destroyed) return;
    this.#isLingering = true;
    this.#client.end();
    this.#client.resume();
    const timer = setTimeout(() => this.#client.destroy(), LINGER_MS);
    this.#client.once("close", () => clearTimeout(timer));
  }

  #do(command: Command<D>): void {
    switch (command.kind) {
      case "open":
        this.#open(command.upstream, command.to);
        return;
      case "send":
        if (this.#upstreams.get(command.upstream)?.write(command.bytes) === false) {
          if (this.#passage.upstreamFull) this.#passage.upstreamFull(command.upstream);
          else this.#full.add(command.upstream);
        }
        return;
      case "end":
        this.#upstreams.get(command.upstream)?.end();
        return;
      case "reset":
        this.#upstreams.get(command.upstream)?.reset();
        this.#forget(command.upstream);
        return;
      case "reply":
        this.#client.write(command.bytes);
        return;
      case "end-client":
        this.#client.end();
        return;
      case "reset-client":
        reset(this.#client);
        return;
      default:
        this.#parts.onRaw(command.to, command.why);
    }
  }

  #open(id: number, to: D): void {
    const upstream = this.#parts.open(to, {
      onBytes: (bytes, taken) => this.#reply(id, bytes, taken),
      onEnd: () => this.#run(this.#passage.upstreamEnd(id)),
      onReset: () => {
        this.#forget(id);
        this.#run(this.#passage.upstreamReset(id));
      },
      onDrain: () => {
        this.#full.delete(id);
        this.#run(this.#passage.upstreamDrained?.(id) ?? []);
      },
    });
    if (upstream !== undefined) this.#upstreams.set(id, upstream);
    else setImmediate(() => this.#run(this.#passage.upstreamReset(id)));
  }

  #reply(id: number, bytes: Uint8Array, taken: () => void): void {
    this.#run(this.#passage.upstreamBytes(id, bytes));
    if (this.#client.destroyed || this.#client.writableLength < HIGH_WATER) taken();
    else this.#owed.push(taken);
  }

  #forget(id: number): void {
    this.#upstreams.delete(id);
    this.#full.delete(id);
  }
}
