/** What there was at a time, as a file holds it, and what differs from now. Pure. */
import type { Finding } from "./finding.ts";

export interface Inventory {
  /** `pods/shop/orders-7d4f` → uid */
  readonly cluster: Readonly<Record<string, string>>;
  /** Kinds that could not be listed. */
  readonly unseen: readonly string[];
}

/** @throws Error for what is none */
export function parseInventory(value: unknown): Inventory {
  const { cluster, unseen } = Object(value) as Partial<Inventory>;
  const isText = (each: unknown): boolean => typeof each === "string";
  if (
    typeof cluster !== "object" ||
    cluster === null ||
    !Object.values(cluster).every(isText) ||
    !Array.isArray(unseen) ||
    !unseen.every(isText)
  )
    throw new Error("it is no inventory");
  return { cluster, unseen };
}

/** An object that was made anew under its old name is told as both. */
export function compare(before: Inventory, now: Inventory): Finding[] {
  const unseen = new Set([...before.unseen, ...now.unseen]);
  const kindOf = (name: string): string => name.split("/")[0] ?? "";
  const tell = (what: string, why: string): Finding => ({
    where: "cluster",
    what,
    // What is inpod's carries its marks and has been judged; anything else was somebody else.
    verdict: "other",
    why,
  });
  const news = Object.entries(now.cluster).filter(
    ([name, uid]) => before.cluster[name] !== uid && !unseen.has(kindOf(name)),
  );
  const gone = Object.entries(before.cluster).filter(
    ([name, uid]) => now.cluster[name] !== uid && !unseen.has(kindOf(name)),
  );
  return [
    ...news.map(([name]) => tell(name, "it was not there")),
    ...gone.map(([name]) => tell(name, "it is gone")),
    ...[...unseen].map((kind) => tell(kind, "you may not list them")),
  ];
}
