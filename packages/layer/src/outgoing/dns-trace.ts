/** Names that programs ask the pod's name servers for over UDP, and what they are told. */

import { addressesIn, questionIn } from "@inpod/session";
import type { CallTrace } from "../trace.ts";

/** Questions that wait for an answer; a resolver asks again after some seconds, and then it is another question. */
const MAX_ASKED = 1024;
const PATIENCE_MS = 10_000;
const TYPES: Readonly<Record<number, string>> = {
  ...{ 1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA" },
  ...{ 33: "SRV", 64: "SVCB", 65: "HTTPS" },
};
const RCODES: Readonly<Record<number, string>> = {
  ...{ 0: "ok", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED" },
};

export class DnsTrace {
  readonly #trace: CallTrace;
  readonly #asked = new Map<
    string,
    { readonly sinceMs: number; readonly name: string; readonly type: number }
  >();

  constructor(trace: CallTrace) {
    this.#trace = trace;
  }

  asked(server: string, message: Uint8Array): void {
    const question = questionIn(message);
    if (question === undefined || question.isAnswer) return;
    const { id, name, type } = question;
    const key = keyOf(server, id, type, name);
    const sinceMs = performance.now();
    this.#asked.delete(key);
    this.#asked.set(key, { sinceMs, name, type });
    for (const [other, { sinceMs: from }] of this.#asked) {
      if (this.#asked.size <= MAX_ASKED && sinceMs - from < PATIENCE_MS) break;
      this.#unheard(other);
    }
  }

  answered(server: string, message: Uint8Array): void {
    const question = questionIn(message);
    if (question === undefined || !question.isAnswer) return;
    const { id, name, type, rcode, answers } = question;
    const key = keyOf(server, id, type, name);
    const asked = this.#asked.get(key);
    this.#asked.delete(key);
    const addresses = addressesIn(message).map(({ address }) => address);
    this.#tell(server, name, type, {
      result: rcode === 0 && answers === 0 ? "empty" : (RCODES[rcode] ?? `RCODE ${rcode}`),
      tookMs: asked && performance.now() - asked.sinceMs,
      addresses: addresses.length > 0 ? addresses : undefined,
    });
  }

  #unheard(key: string): void {
    const asked = this.#asked.get(key);
    this.#asked.delete(key);
    if (asked === undefined) return;
    const [server = ""] = key.split(" ", 1);
    const { name, type, sinceMs } = asked;
    this.#tell(server, name, type, { result: "no answer", tookMs: performance.now() - sinceMs });
  }

  #tell(
    server: string,
    name: string,
    type: number,
    came: {
      readonly result: string;
      readonly tookMs: number | undefined;
      readonly addresses?: readonly string[] | undefined;
    },
  ): void {
    this.#trace.told({
      ...{ pid: 0, call: "resolve", verdict: "remote", why: "a name server of the pod" },
      subject: `${TYPES[type] ?? `TYPE${type}`} ${name}`,
      key: "feature.network.dns.enabled",
      peer: server,
      ...came,
    });
  }

  close(): void {
    for (const key of [...this.#asked.keys()]) this.#unheard(key);
  }
}

const keyOf = (server: string, id: number, type: number, name: string): string =>
  `${server} ${id} ${type} ${name}`;
