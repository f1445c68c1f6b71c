/**
 * What is known about each key beside its type: what it means, and what becomes of it. The schema (schema.ts) is
 * written with these, and everything else about keys is made from it: what is refused, what --verbose says has no
 * effect, docs/configuration.md and the schemas for editors.
 */
import * as z from "zod";
import { below } from "./tree.ts";
import { longFormOf } from "./values.ts";

/** "no effect": accepted, told under --verbose. "not yet" and "refused" end inpod before anything is done. */
export type Effect = "works" | "no effect" | "not yet" | "refused";

export interface KeyFacts {
  /** For people and editors: a sentence without its full stop. */
  readonly what: string;
  readonly effect: Effect;
  /** The version from which it works. */
  readonly since?: string;
  /** Why it does not work; or what of it does not. */
  readonly why?: string;
  /** Values of a key that does not work that ask for what is done anyway. */
  readonly harmless?: z.ZodType | undefined;
  /** The key that this one is another way to write. */
  readonly into?: string;
  /** Where the schema does not say it. */
  readonly type?: string;
}

export interface Key {
  readonly path: string;
  readonly facts: KeyFacts;
  readonly schema: z.ZodType;
}

/** As zod's registries, whose types do not let a schema be part of what is known. */
const known = new WeakMap<z.ZodType, KeyFacts>();
const FIRST_VERSION = "0.1.0";

interface More {
  readonly why?: string;
  readonly into?: string;
  readonly since?: string;
  readonly type?: string;
}

function key<Schema extends z.ZodType>(schema: Schema, facts: KeyFacts): z.ZodOptional<Schema> {
  const optional = schema.optional();
  known.set(optional, facts);
  return optional;
}

export const works = <Schema extends z.ZodType>(schema: Schema, what: string, more: More = {}) =>
  key(schema, { effect: "works", what, since: FIRST_VERSION, ...more });

/** Read and checked, but nothing acts on it yet. */
export const carried = <Schema extends z.ZodType>(schema: Schema, what: string) =>
  key(schema, { effect: "no effect", what, why: "nothing acts on it yet" });

/** Accepted with whatever is in it. */
export const noEffect = (what: string, why: string, type = "any") =>
  key(z.unknown(), { effect: "no effect", what, why, type });

interface Later {
  readonly why?: string;
  readonly harmless?: z.ZodType;
  /** What it will be, for the table. */
  readonly schema?: z.ZodType;
  readonly type?: string;
}

export const notYet = (what: string, { schema = z.unknown(), ...more }: Later = {}) =>
  key(schema, { effect: "not yet", what, ...more });

export const refused = (
  what: string,
  why: string,
  { schema = z.unknown(), ...more }: Omit<Later, "why"> = {},
) => key(schema, { effect: "refused", what, why, ...more });

/** Every key of a schema in the order of the text, each before those below it. */
export function* keysOf(schema: z.ZodType, path = ""): Generator<Key> {
  for (const [name, inner] of Object.entries(sectionOf(schema)?.shape ?? {})) {
    const facts = known.get(inner);
    // Shapes that are Kubernetes' own (a toleration) are explained there.
    if (facts === undefined) continue;
    const at = below(path, name);
    yield { path: at, facts, schema: inner };
    yield* keysOf(inner, at);
  }
}

/** The object that a key may hold. */
export function sectionOf(schema: z.ZodType): z.ZodObject | undefined {
  if (schema instanceof z.ZodOptional) return sectionOf(schema.unwrap() as z.ZodType);
  if (schema instanceof z.ZodObject) return schema;
  const long = longFormOf(schema)?.long;
  return long && sectionOf(long);
}

/** Whether its value goes to the schema. */
export const isRead = ({ facts, schema }: Key): boolean =>
  facts.effect === "works" || (facts.effect === "no effect" && !isAnything(schema));

const isAnything = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodOptional && schema.unwrap() instanceof z.ZodUnknown;

export const factsOf = (schema: z.ZodType): KeyFacts | undefined => known.get(schema);
