/** Kinds of values that keys have. Each `error` says what is allowed there. */
import { ConfigValueError, compileUserRegex } from "@inpod/session";
import * as z from "zod";
import { isObject } from "./tree.ts";

/** The message of an unknown key is the list of the known ones, separated by blanks: see problems.ts. */
export const section = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) =>
      code === "unrecognized_keys" ? Object.keys(shape).join(" ") : "an object",
  });

interface Forms {
  readonly short: z.ZodType;
  readonly long: z.ZodType;
}
/** As zod's registries, whose types do not let a schema be part of what is known. */
const forms = new WeakMap<z.ZodType, Forms>();

/**
 * A value in one of two forms. It is judged as what it is, so that an error names what is wrong inside and not
 * "no member of the union".
 */
const inForms = <Short extends z.ZodType, Long extends z.ZodType>(
  short: Short,
  long: Long,
  isLong: (value: unknown) => boolean,
) => {
  const schema = z.unknown().transform((value, context): z.output<Short> | z.output<Long> => {
    const result = (isLong(value) ? long : short).safeParse(value);
    if (result.success) return result.data as z.output<Short> | z.output<Long>;
    for (const issue of result.error.issues)
      context.issues.push({ ...issue, path: [...issue.path], input: value } as never);
    return z.NEVER;
  });
  forms.set(schema, { short, long });
  return schema;
};

/** A value that may be short (a boolean, a word) or an object. */
export const shortOr = <Short extends z.ZodType, Long extends z.ZodType>(
  short: Short,
  long: Long,
) => inForms(short, long, isObject);

/** Both, where there are two. */
export const longFormOf = (schema: z.ZodType): Forms | undefined => forms.get(schema);

export const flag = z.boolean({ error: "true or false" });
export const text = z.string({ error: "a string" }).min(1, { error: "a string that is not empty" });
export const seconds = z
  .int({ error: "a whole number of seconds" })
  .min(1, { error: "at least 1 second" })
  .max(86_400, { error: "at most 86400 seconds" });

/** A whole number of `unit` within limits. */
export const count = (least: number, most: number, unit: string) => {
  const error = `a whole number ${unit} from ${least} to ${most}`;
  return z.int({ error }).min(least, { error }).max(most, { error });
};
const WHAT_PORT = "a port number from 1 to 65535";
export const port = z
  .int({ error: WHAT_PORT })
  .min(1, { error: WHAT_PORT })
  .max(65_535, { error: WHAT_PORT });

/** Judged by the engine that will run it, so that what is accepted here works later. */
export const regex = (ignoreCase: boolean) =>
  text.superRefine((source, context) => {
    try {
      compileUserRegex(source, "it", { ignoreCase });
    } catch (error) {
      if (!(error instanceof ConfigValueError)) throw error;
      const why = error.message.replace(/^.*cannot be used: /s, "");
      context.addIssue({
        code: "custom",
        message: `a regular expression that can be used (${why})`,
      });
    }
  });

export const list = <Item extends z.ZodType>(item: Item, what: string) =>
  z.array(item, { error: `a list of ${what}` });

/** One text stands for a list of it, as in mirrord's files. */
export const oneOrList = <Item extends z.ZodType<string>>(item: Item, what: string) =>
  inForms(item, list(item, `${what}, or one`), (value) => typeof value !== "string").transform(
    (said) => (Array.isArray(said) ? (said as string[]) : [said as string]),
  );
export const regexes = oneOrList(regex(true), "regular expressions");

const joined = (between: RegExp, how: string) =>
  z
    .union(
      [
        z.string().transform((text) => text.split(between).map((name) => name.trim())),
        z.array(z.string()),
      ],
      { error: `a list of strings, or one string with ${how} between the names` },
    )
    .transform((all) => all.filter((name) => name !== ""));

/** "A;B" or ["A", "B"] */
export const names = joined(/;/, '";"');
/** Names of variables have no comma either. */
export const variableNames = joined(/[;,]/, '";" or ","');

const inQuotes = (allowed: readonly string[]): string =>
  allowed.map((word) => `"${word}"`).join(", ");

/** A word of a later version is answered in other words than nonsense: with what is said of it. */
const whatOf =
  (allowed: string, later: Readonly<Record<string, string>>) =>
  ({ input }: { input?: unknown }): string =>
    (typeof input === "string" && Object.hasOwn(later, input) ? later[input] : undefined) ??
    allowed;

export const words = <const Words extends readonly [string, ...string[]]>(
  allowed: Words,
  later: Readonly<Record<string, string>> = {},
) => z.enum(allowed, { error: whatOf(inQuotes(allowed), later) });

export const orFlag = <const Words extends readonly [string, ...string[]]>(
  allowed: Words,
  later: Readonly<Record<string, string>> = {},
) =>
  z.union([z.boolean(), z.enum(allowed)], {
    error: whatOf(`true, false, ${inQuotes(allowed)}, or an object`, later),
  });
/** All of them, none, or these. */
export const flagOrWords = <const Words extends readonly [string, ...string[]]>(allowed: Words) => {
  const error = `true, false, or a list of ${inQuotes(allowed)}`;
  return z.union([z.boolean(), z.array(z.enum(allowed, { error }))], { error });
};
export const flagOrObject = z.boolean({ error: "true, false, or an object" });
