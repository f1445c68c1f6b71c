/**
 * A port's open connections when nobody steals it any more: they would stay in the agent for as long as their clients keep
 * them, and so each is asked to end in good order.
 */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { Relay } from "./relay.ts";
import { reset } from "./reset.ts";
import { isSomebodyComing } from "./still-coming.ts";

export interface Drainable {
  /** Its client should come with a new connection. */
  drain(): void;
  /** Something that went to `to` has not had all of its answer. */
  isAsking(to: unknown): boolean;
  /** `to` goes away: its end is not the client's, unless something is asked of it. */
  leave(to: unknown): void;
}

/** For what has no event: an answer is over when its last byte has been understood. */
const LOOK_MS = 20;

export class Draining {
  readonly #open = new Set<Drainable>();
  #hasBegun = false;

  /** Also one that was redirected just before the end, and came just after. */
  add(connection: Drainable): void {
    this.#open.add(connection);
    if (this.#hasBegun) connection.drain();
  }

  delete(connection: Drainable): void {
    this.#open.delete(connection);
  }

  begin(): void {
    this.#hasBegun = true;
    for (const connection of [...this.#open]) connection.drain();
  }

  /** Until nothing is asked of `to` any more, or `graceMs` are over: then whoever asks nothing of it goes on without. */
  async answered(to: unknown, graceMs: number): Promise<void> {
    const deadline = performance.now() + graceMs;
    const isAsked = (): boolean => [...this.#open].some((each) => each.isAsking(to));
    while (isAsked() && performance.now() < deadline) await delay(LOOK_MS);
    for (const each of [...this.#open]) each.leave(to);
  }

  /** The port is stolen again: who comes from now on stays. */
  stop(): void {
    this.#hasBegun = false;
  }
}

/** Waits until each has ended or has been sent all of its answer and the FIN; after `graceMs` the others are reset. */
export async function ended(sockets: Iterable<Socket>, graceMs: number): Promise<void> {
  const open = new Set([...sockets].filter(isOpen));
  if (open.size > 0) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, graceMs);
      for (const socket of open) {
        const over = (): void => {
          open.delete(socket);
          if (open.size > 0) return;
          clearTimeout(timer);
          resolve();
        };
        socket.once("finish", over);
        socket.once("close", over);
      }
    });
  }
  for (const socket of open) if (isOpen(socket)) reset(socket);
}

/**
 * The same of all who have come by these, and of those who come meanwhile: nobody is redirected any more, but who was just
 * before waits to be accepted, or for a packet that was lost.
 */
export async function allEnded(relays: readonly Relay[], graceMs: number): Promise<void> {
  const ports = relays.map(({ port }) => port);
  const deadline = performance.now() + graceMs;
  const open = (): Socket[] => relays.flatMap(({ connections }) => [...connections].filter(isOpen));
  for (;;) {
    const leftMs = deadline - performance.now();
    if (open().length > 0) await ended(open(), Math.max(0, leftMs));
    else if (leftMs <= 0) return;
    else if (await isSomebodyComing(ports)) await delay(Math.min(LOOK_MS, leftMs));
    else if (open().length === 0) return;
  }
}

const isOpen = (socket: Socket): boolean => !socket.destroyed && !socket.writableFinished;
