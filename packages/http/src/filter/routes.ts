/**
 * Who gets a request of one port, if several want some of them:
 *
 * 1. of the filters that match it, the one that came first;
 * 2. who takes the port without a filter, of whom there is one at most;
 * 3. the pod.
 *
 * What the kubelet asks of the pod is given to those only who have asked for that as well.
 */
import { compileFilter, type Filter } from "./filter.ts";
import { isConflict, type Relation, relate } from "./judge.ts";
import type { RequestTest } from "./probes.ts";
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

export interface RouteOptions {
  /** It wants the pod's probes as well. */
  readonly takesProbes?: boolean;
}

interface Wish<D> {
  readonly to: D;
  readonly takesProbes: boolean;
  readonly tally: Tally;
}

export class Routes<D> {
  readonly #pod: D;
  readonly #podTally: Tally;
  readonly #isProbe: RequestTest | undefined;
  readonly #filtered: (Wish<D> & { readonly filter: Filter })[] = [];
  #rest: Wish<D> | undefined;

  /**
   * @param tally of what goes to the pod
   * @param isProbe undefined: the port has none
   */
  constructor(pod: D, tally: Tally = { requests: 0 }, isProbe?: RequestTest) {
    this.#pod = pod;
    this.#podTally = tally;
    this.#isProbe = isProbe;
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
    { takesProbes = false }: RouteOptions = {},
  ): Conflict<D> | undefined {
    if (filter === undefined) {
      if (this.#rest !== undefined) return { holder: this.#rest.to, relation: undefined };
      this.#rest = { to, takesProbes, tally };
      return undefined;
    }
    for (const other of this.#filtered) {
      const relation = relate(filter, other.filter.spec);
      if (isConflict(relation)) return { holder: other.to, relation };
    }
    this.#filtered.push({ to, takesProbes, tally, filter: compileFilter(filter) });
    return undefined;
  }

  /** All that it wanted. */
  remove(to: D): void {
    if (this.#rest?.to === to) this.#rest = undefined;
    for (let i = this.#filtered.length - 1; i >= 0; i--) {
      if (this.#filtered[i]?.to === to) this.#filtered.splice(i, 1);
    }
  }

  /** Who gets what no filter takes; also bytes that are no HTTP, and heads that are malformed. */
  get rest(): D {
    return this.#rest?.to ?? this.#pod;
  }

  /** The same for what the kubelet does. */
  get restOfProbes(): D {
    return this.#rest?.takesProbes === true ? this.#rest.to : this.#pod;
  }

  route(request: RequestFacts): D | "needs-body" {
    const isProbe = this.#isProbe?.(request) === true;
    const subject = new Subject(request);
    for (const { to, filter, takesProbes, tally } of this.#filtered) {
      if (isProbe && !takesProbes) continue;
      const answer = filter.matches(subject);
      if (answer === "needs-body") return answer;
      if (!answer) continue;
      tally.requests++;
      return to;
    }
    return this.#restOf(isProbe);
  }

  routeWithBody(request: RequestFacts, body: Uint8Array | undefined): D {
    const isProbe = this.#isProbe?.(request) === true;
    const subject = new Subject(request, body);
    const found = this.#filtered.find(
      ({ filter, takesProbes }) => (takesProbes || !isProbe) && filter.matchesWithBody(subject),
    );
    if (found === undefined) return this.#restOf(isProbe);
    found.tally.requests++;
    return found.to;
  }

  #restOf(isProbe: boolean): D {
    const rest = isProbe && this.#rest?.takesProbes !== true ? undefined : this.#rest;
    (rest?.tally ?? this.#podTally).requests++;
    return rest?.to ?? this.#pod;
  }
}
