/**
 * Resolvers that bind each of their sockets to a port of their own choice, so that it cannot be guessed (RFC 5452):
 * hickory-dns of Rust's programs, unbound, dnsmasq. At bind such a socket looks like a server's. Taking the port would cost each
 * name a round trip and two changes of the target's rules, and for that moment the port of whoever has it in the pod. The first
 * question tells; from then on sockets of that process are held: not taken until it is known what they do.
 */
import type { Endpoint } from "@inpod/protocol";

const DNS_PORT = 53;
/** Resolvers choose among those that take no right. */
const FIRST_UNPRIVILEGED = 1024;
/** A resolver sends at once. A server that only receives is late by this much. */
const HOLD_MS = 100;
/** Process ids that may be somebody else's by now. */
const MAX_PROCESSES = 256;

export class UdpAskers {
  readonly #processes = new Set<number>();
  /** By the socket's cookie. */
  readonly #held = new Map<number, NodeJS.Timeout>();

  /** Whether the socket is held; then `take` is called if it has not been released by the end of it. */
  hold(tgid: number, port: number, cookie: number, take: () => void): boolean {
    if (port < FIRST_UNPRIVILEGED || !this.#processes.has(tgid)) return false;
    const timer = setTimeout(() => {
      this.#held.delete(cookie);
      take();
    }, HOLD_MS);
    this.#held.set(cookie, timer.unref());
    return true;
  }

  /** Whether it was held: its `take` is not called any more. */
  release(cookie: number): boolean {
    clearTimeout(this.#held.get(cookie));
    return this.#held.delete(cookie);
  }

  /** Whether what a socket that is bound to this port sends first is a question for a name: then its process is known. */
  isQuestion(tgid: number, port: number, to: Endpoint): boolean {
    if (to.port !== DNS_PORT || port < FIRST_UNPRIVILEGED) return false;
    this.#processes.delete(tgid);
    this.#processes.add(tgid);
    const [oldest] = this.#processes;
    if (this.#processes.size > MAX_PROCESSES && oldest !== undefined)
      this.#processes.delete(oldest);
    return true;
  }

  close(): void {
    for (const timer of this.#held.values()) clearTimeout(timer);
    this.#held.clear();
  }
}
