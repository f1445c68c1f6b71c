/** Of which of a workload's pods the traffic is to be taken. Pure. */
import type { Replica } from "@inpod/targets";

export interface Situation {
  /** In the order in which they are chosen. */
  readonly pods: readonly Pick<Replica, "id" | "state">[];
  /** The pod that is the target itself. */
  readonly own: string;
  /** Of which it is taken by a session of their own, or about to be. */
  readonly members: readonly string[];
  /** Where it has just failed. */
  readonly refused: ReadonlySet<string>;
  /** At most so many, `own` among them; Infinity: all. */
  readonly limit: number;
}

export interface Decision {
  readonly join: readonly string[];
  readonly leave: readonly string[];
}

/**
 * A pod that is not ready any more is kept: it may be the program's own answer that made it so. One that is ending is
 * kept until it is gone, since clients reach it until they have heard of its end; its place is free for another one.
 */
export function decide({ pods, own, members, refused, limit }: Situation): Decision {
  const states = new Map(pods.map(({ id, state }) => [id, state]));
  const isKept = (id: string): boolean => states.has(id);
  const counts = (id: string): boolean => isKept(id) && states.get(id) !== "ending";
  const gone = members.filter((id) => !isKept(id));
  const others = members.filter((id) => counts(id) && id !== own);
  const free = limit - (counts(own) ? 1 : 0) - others.length;
  const join = pods
    .filter(({ id, state }) => state === "ready" && id !== own && !members.includes(id))
    .filter(({ id }) => !refused.has(id))
    .slice(0, Math.max(0, free))
    .map(({ id }) => id);
  // The target has moved to a pod that was none of them: the last one goes.
  const tooMany = free < 0 ? others.slice(free) : [];
  return { join, leave: [...gone, ...tooMany] };
}
