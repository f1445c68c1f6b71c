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

export class Routes<D> {
  readonly #pod: D;
  readonly #filtered: { readonly to: D; readonly filter: Filter }[] = [];
  #rest: D | undefined;

  constructor(pod: D) {
    this.#pod = pod;
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
  add(to: D, filter: FilterSpec | undefined): Conflict<D> | undefined {
    if (filter === undefined) {
      if (this.#rest !== undefined) return { holder: this.#rest, relation: undefined };
      this.#rest = to;
      return undefined;
    }
    for (const other of this.#filtered) {
      const relation = relate(filter, other.filter.spec);
      if (isConflict(relation)) return { holder: other.to, relation };
    }
    this.#filtered.push({ to, filter: compileFilter(filter) });
    return undefined;
  }

  /** All that it wanted. */
  remove(to: D): void {
    if (this.#rest === to) this.#rest = undefined;
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
    for (const { to, filter } of this.#filtered) {
      const answer = filter.matches(subject);
      if (answer !== false) return answer === true ? to : "needs-body";
    }
    return this.rest;
  }

  routeWithBody(request: RequestFacts, body: Uint8Array | undefined): D {
    const subject = new Subject(request, body);
    const found = this.#filtered.find(({ filter }) => filter.matchesWithBody(subject));
    return found?.to ?? this.rest;
  }
}
