/** Documented keys that do not work: told apart from the others, and from what nobody knows, before the schema judges. */
import type * as z from "zod";
import { type KeyFacts, keysOf } from "./keys.ts";
import { below, isObject } from "./tree.ts";

export interface IgnoredKey {
  readonly path: string;
  readonly why: string;
}

export interface Sorted {
  /** What is left for the schema. */
  readonly tree: unknown;
  readonly refused: readonly string[];
  readonly ignored: readonly IgnoredKey[];
}

/** `null` is the same as leaving the key out. */
export function sortOut(tree: unknown, schema: z.ZodType): Sorted {
  const facts = new Map([...keysOf(schema)].map((key) => [key.path, key.facts]));
  const refused: string[] = [];
  const ignored: IgnoredKey[] = [];
  const walk = (value: unknown, path: string, isTold: boolean): unknown => {
    if (!isObject(value)) return value;
    const kept: [string, unknown][] = [];
    for (const [key, inner] of Object.entries(value)) {
      const at = below(path, key);
      if (inner === null || inner === undefined) continue;
      const verdict = judge(facts.get(at), inner);
      const isIgnored = verdict.kind === "ignored";
      if (isIgnored && !isTold) ignored.push({ path: at, why: verdict.why });
      if (verdict.kind === "refused") refused.push(`"${at}" ${verdict.why}`);
      else if (!isIgnored || verdict.isChecked)
        kept.push([key, walk(inner, at, isTold || isIgnored)]);
    }
    return Object.fromEntries(kept);
  };
  return { tree: walk(tree, "", false), refused, ignored };
}

type Verdict =
  | { readonly kind: "kept" }
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "ignored"; readonly why: string; readonly isChecked: boolean };

function judge(facts: KeyFacts | undefined, value: unknown): Verdict {
  if (facts === undefined || facts.effect === "works") return { kind: "kept" };
  const { effect, why, harmless } = facts;
  if (effect === "no effect") return { kind: "ignored", why: why ?? "", isChecked: true };
  if (harmless?.safeParse(value).success)
    return { kind: "ignored", why: "it asks for what is done anyway", isChecked: false };
  if (effect === "refused") return { kind: "refused", why: `cannot be used: ${why}` };
  return { kind: "refused", why: `is not supported yet${why === undefined ? "" : `: ${why}`}` };
}
