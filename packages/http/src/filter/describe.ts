/** A filter in one line for people, always the same for the same filter. */
import type { FilterSpec } from "./spec.ts";
import type { TextPattern } from "./text-pattern.ts";

/** Characters: it is one line among others. */
const MAX_LINE = 200;

/** `header x-user = me`, `path ^= /api`, `header ~ user`, `(method = GET and not (path = /health))` */
export function describeFilter(spec: FilterSpec): string {
  const line = printable(describe(spec));
  return line.length <= MAX_LINE ? line : `${line.slice(0, MAX_LINE - 1)}…`;
}

function describe(spec: FilterSpec): string {
  switch (spec.kind) {
    case "header":
      return isAny(spec.value) ? `header ${spec.name}` : `header ${spec.name} ${text(spec.value)}`;
    case "header-line":
      return `header ~ ${spec.regex}`;
    case "header-jq":
      return `header jq ${spec.program}`;
    case "body":
      return `body ${spec.query} ${text(spec.value)}`;
    case "path":
      return `path ${text(spec.value)}`;
    case "method":
      // Nobody has methods that differ in their case.
      return `method ${text({ ...spec.value, ignoresCase: spec.value.op === "regex" })}`;
    case "all":
    case "any": {
      const [first, ...others] = spec.of.map(describe);
      if (others.length === 0) return first ?? "";
      return `(${[first, ...others].join(spec.kind === "all" ? " and " : " or ")})`;
    }
    default:
      return `not (${spec.of.map(describe).join(" or ")})`;
  }
}

const isAny = ({ op, text: start }: TextPattern): boolean => op === "prefix" && start === "";

function text({ op, text: wanted, ignoresCase }: TextPattern): string {
  const sign = { exact: "=", prefix: "^=", regex: "~" }[op];
  // As it is usual for each: expressions ignore the case, words do not.
  const isUsual = ignoresCase === (op === "regex");
  const hasCase = wanted.toLowerCase() !== wanted.toUpperCase();
  const note = ignoresCase ? " (any case)" : " (this case)";
  return `${sign} ${wanted}${isUsual || !hasCase ? "" : note}`;
}

/** Nobody's terminal obeys somebody else's filter. */
const printable = (line: string): string =>
  line.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (char) => `\\u{${char.codePointAt(0)?.toString(16)}}`,
  );
