/** Every call with what was decided and what it came to, for who wants all of it (`--trace`). */
import { getSystemErrorName } from "node:util";
import type { TapEvent } from "@inpod/tap";
import type { Decision } from "./config.ts";

/** What is done with a path. */
export type Done = "read" | "write" | "lookup";

export interface TracedCall extends Decision {
  /** 0: none of the tree's processes, but inpod itself. */
  readonly pid: number;
  readonly does?: Done | undefined;
  /** "ok", an errno's name, a DNS answer's RCODE; undefined: the kernel went on by itself, and only it knows. */
  readonly result?: string | undefined;
  /** Until it was answered. */
  readonly tookMs?: number | undefined;
  /** Who has sent or answered: a client, a name server. */
  readonly peer?: string | undefined;
  /** Of a name. */
  readonly addresses?: readonly string[] | undefined;
}

export interface TraceSink {
  call(call: TracedCall): void;
  /** What runs in this process from now on. */
  program(pid: number, executable: string): void;
  /** At the end: how many calls are missing. */
  untold(calls: number): void;
}

export type Caller = Pick<TapEvent & { tgid: number; token: number }, "tgid" | "token">;

interface Open {
  readonly call: TracedCall;
  readonly sinceMs: number;
}

/** As many calls as can be held at once; each is answered, or its deadline passes. */
const MAX_OPEN = 4096;

export const resultName = (errno: number): string => {
  if (errno === 0) return "ok";
  try {
    return getSystemErrorName(-errno);
  } catch {
    return `errno ${errno}`;
  }
};

export class CallTrace {
  readonly #sink: TraceSink;
  readonly #open = new Map<number, Open[]>();

  constructor(sink: TraceSink) {
    this.#sink = sink;
  }

  /** A call that is answered later, by its token. One with two paths comes twice. */
  decided({ tgid, token }: Caller, decision: Decision, does?: Done): void {
    const open = { call: { ...decision, pid: tgid, does }, sinceMs: performance.now() };
    this.#open.set(token, [...(this.#open.get(token) ?? []), open]);
    if (this.#open.size <= MAX_OPEN) return;
    const [oldest] = this.#open.keys();
    if (oldest !== undefined) this.#close(oldest, undefined);
  }

  /** @param errno positive, 0, or undefined where the kernel goes on by itself */
  answered(token: number, errno: number | undefined): void {
    this.#close(token, errno === undefined ? undefined : resultName(errno));
  }

  #close(token: number, result: string | undefined, verdict?: Partial<Decision>): boolean {
    const open = this.#open.get(token);
    if (open === undefined) return false;
    this.#open.delete(token);
    for (const { call, sinceMs } of open)
      this.#sink.call({ ...call, ...verdict, result, tookMs: performance.now() - sinceMs });
    return true;
  }

  /** What C has served of a call that was decided here. False: it was decided there. */
  served(token: number, errno: number, verdict?: Partial<Decision>): boolean {
    return token !== 0 && this.#close(token, errno < 0 ? undefined : resultName(errno), verdict);
  }

  /** At once: nobody waits for an answer. */
  told(call: TracedCall): void {
    this.#sink.call(call);
  }

  program(pid: number, executable: string): void {
    this.#sink.program(pid, executable);
  }

  /** What has no answer yet gets none. @param untold calls that could not be told */
  close(untold: number): void {
    for (const token of [...this.#open.keys()]) this.#close(token, undefined);
    this.#sink.untold(untold);
  }
}
