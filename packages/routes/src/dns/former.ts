/**
 * The name servers that this machine had before. One on loopback may itself ask whom /etc/resolv.conf names, as dnsmasq
 * does: while the machine is connected that is us. It is found out by a name that only we have asked it for.
 */
import { randomBytes } from "node:crypto";
import { query, questionIn } from "@inpod/session";
import { ANSWER_MS, type AskOne, MAX_SERVERS, type NameServers } from "./ask.ts";
import { answerTo, RCODE } from "./messages.ts";

/** Of what is reserved for tests (RFC 6761): resolvers pass it on. dnsmasq's own --dns-loop-detect uses it, too. */
const PROBE = /^[0-9a-f]{16}\.inpod\.test$/;
const TYPE_A = 1;
/** Of what was said of one that asks others. */
const REMEMBERED_MS = 5000;
const LOOPBACK = /^(127\.|::1$)/;

export class FormerServers implements NameServers {
  readonly #servers: readonly string[];
  readonly #one: AskOne;
  /** Questions that servers are being asked, and which. */
  readonly #asking = new Map<string, Set<string>>();
  readonly #probes = new Map<string, () => void>();
  /** Whether it asks us. */
  readonly #loops = new Map<string, Promise<boolean>>();

  constructor(servers: readonly string[], one: AskOne) {
    this.#servers = servers.slice(0, MAX_SERVERS);
    this.#one = one;
  }

  async ask(message: Uint8Array, isTcp: boolean): Promise<Buffer | undefined> {
    const { name = "", type = 0 } = questionIn(message) ?? {};
    if (PROBE.test(name)) {
      this.#probes.get(name)?.();
      return answerTo(message, RCODE.nxdomain);
    }
    const key = `${type} ${name}`;
    for (const server of this.#servers) {
      const asked = this.#asking.get(key) ?? new Set();
      if (await this.#asksUs(server, asked.has(server))) continue;
      this.#asking.set(key, asked.add(server));
      try {
        return await this.#one(server, message, isTcp, AbortSignal.timeout(ANSWER_MS));
      } catch {
        // The next one's turn.
      } finally {
        asked.delete(server);
        if (asked.size === 0) this.#asking.delete(key);
      }
    }
    return undefined;
  }

  /** @param isSuspect what it is being asked comes here */
  async #asksUs(server: string, isSuspect: boolean): Promise<boolean> {
    // Whoever is the only one asks others, or nobody.
    if (this.#servers.length < 2 || !LOOPBACK.test(server)) return false;
    const known = this.#loops.get(server);
    if (known !== undefined) return known;
    if (!isSuspect) return false;
    const found = this.#probe(server);
    this.#loops.set(server, found);
    if (!(await found)) setTimeout(() => this.#loops.delete(server), REMEMBERED_MS).unref();
    return found;
  }

  #probe(server: string): Promise<boolean> {
    const name = `${randomBytes(8).toString("hex")}.inpod.test`;
    return new Promise<boolean>((resolve) => {
      this.#probes.set(name, () => resolve(true));
      const signal = AbortSignal.timeout(ANSWER_MS);
      const over = (): void => resolve(false);
      this.#one(server, query(1, name, TYPE_A), false, signal).then(over, over);
    }).finally(() => this.#probes.delete(name));
  }
}
