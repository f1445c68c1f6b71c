/**
 * Who gets a request of one port, if several want some of them:
 *
 * 1. of the filters that match it, the one that came first;
 * 2. who takes the port without a filter, of whom there is one at most;
 * 3. the pod.
 */
import { compileFilter, type Filter } from "./filter.ts";
import { isConflict, type Relation, relate } from "./judge.ts";
import type { FilterSpec } from "./spec.ts";
import { type RequestFacts, Subject } from "./subject.ts";

export interface Conflict<D> {
  readonly holder: D;
  /** undefined: both take everything. */
  readonly relation: Relation | undefined;
}

/** How many requests went to one destination. */
export interface Tally {
  requests: number;
}

export class Routes<D> {
  readonly #pod: D;
  readonly #podTally: Tally;
  readonly #filtered: { readonly to: D; readonly filter: Filter; readonly tally: Tally }[] = [];
  #rest: D | undefined;
  #restTally: Tally;

  /** @param tally of what goes to the pod */
  constructor(pod: D, tally: Tally = { requests: 0 }) {
    this.#pod = pod;
    this.#podTally = tally;
    this.#restTally = tally;
  }

  /** How many want something. */
  get size(): number {
    return this.#filtered.length + (this.#rest === undefined ? 0 : 1);
  }

  /** Nothing needs to be parsed: everything is one's. */
  get isUnfiltered(): boolean {
    return this.#filtered.length === 0;
  }

  /**
   * @param filter undefined: everything that no filter takes
   * @returns the first conflict; nothing has changed then
   */
  add(
    to: D,
    filter: FilterSpec | undefined,
    tally: Tally = { requests: 0 },
  ): Conflict<D> | undefined {
    if (filter === undefined) {
      if (this.#rest !== undefined) return { holder: this.#rest, relation: undefined };
      this.#rest = to;
      this.#restTally = tally;
      return undefined;
    }
    for (const other of this.#filtered) {
      const relation = relate(filter, other.filter.spec);
      if (isConflict(relation)) return { holder: other.to, relation };
    }
    this.#filtered.push({ to, filter: compileFilter(filter), tally });
    return undefined;
  }

  /** All that it wanted. */
  remove(to: D): void {
    if (this.#rest === to) {
      this.#rest = undefined;
      this.#restTally = this.#podTally;
    }
    for (let i = this.#filtered.length - 1; i >= 0; i--) {
      if (this.#filtered[i]?.to === to) this.#filtered.splice(i, 1);
    }
  }

  /** Who gets what no filter takes; also bytes that are no HTTP, and heads that are malformed. */
  get rest(): D {
    return this.#rest ?? this.#pod;
  }

  route(request: RequestFacts): D | "needs-body" {
    const subject = new Subject(request);
    for (const { to, filter, tally } of this.#filtered) {
      const answer = filter.matches(subject);
      if (answer === "needs-body") return answer;
      if (!answer) continue;
      tally.requests++;
      return to;
    }
    this.#restTally.requests++;
    return this.rest;
  }

  routeWithBody(request: RequestFacts, body: Uint8Array | undefined): D {
    const subject = new Subject(request, body);
    const found = this.#filtered.find(({ filter }) => filter.matchesWithBody(subject));
    (found?.tally ?? this.#restTally).requests++;
    return found?.to ?? this.rest;
  }
}
