/**
 * Filters as data. The keys are mirrord's, at the top (`header_filter`) and inside all_of and any_of
 * (`header`); beside its expressions there are exact and prefix forms, `none_of`, and any depth of them.
 */
import { FilterError } from "./filter-error.ts";
import { parseJq } from "./jq.ts";
import { parseJsonPath } from "./json-path.ts";
import { compileRegex, RegexError } from "./regex.ts";
import { anchoredLiteral, simplified, type TextPattern } from "./text-pattern.ts";

export type FilterSpec =
  /** One header called `name`, in lower case, has such a value. */
  | { readonly kind: "header"; readonly name: string; readonly value: TextPattern }
  /** One header, written as `name: value`, matches. `name`: what it must be called, if the expression says. */
  | { readonly kind: "header-line"; readonly name: string | undefined; readonly regex: string }
  | { readonly kind: "header-jq"; readonly program: string }
  /** The path, or the path with the query. */
  | { readonly kind: "path" | "method"; readonly value: TextPattern }
  /** One value that the JSONPath finds in the body. */
  | { readonly kind: "body"; readonly query: string; readonly value: TextPattern }
  | { readonly kind: "all" | "any" | "none"; readonly of: readonly FilterSpec[] };

/** A filter, and the ports whose requests it is for; undefined: all that are taken. */
export interface HttpFilterSpec {
  readonly filter: FilterSpec;
  readonly ports: readonly number[] | undefined;
}

const MAX_DEPTH = 8;
const MAX_FILTERS = 64;
/** Characters. */
const MAX_TEXT = 4096;

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

type Fields = Readonly<Record<string, unknown>>;

/** Without `_filter` inside all_of, any_of and none_of; with it at the top: both are read everywhere. */
const KEYS: Readonly<Record<string, string>> = {
  header_filter: "header",
  header_filter_jq: "header_jq",
  path_filter: "path",
  method_filter: "method",
  body_filter: "body",
};

/**
 * @param value what is at `feature.network.incoming.http_filter`, or came from another process
 * @returns undefined: it names no filter, as `{}` and `{ports: […]}` do
 * @throws FilterError
 */
export function parseHttpFilter(value: unknown): HttpFilterSpec | undefined {
  const { ports, ...rest } = fields(value, "");
  if (
    ports !== undefined &&
    (!Array.isArray(ports) || ports.length === 0 || !ports.every(isPort))
  ) {
    throw new FilterError("ports", "a list of port numbers was expected");
  }
  const counter = { left: MAX_FILTERS };
  if (Object.values(rest).every((one) => one === undefined || one === null)) return undefined;
  const filter = parseOne(rest, "", MAX_DEPTH, counter);
  return { filter, ports: ports === undefined ? undefined : [...new Set(ports as number[])] };
}

/** @throws FilterError */
export function parseFilter(value: unknown): FilterSpec {
  return parseOne(fields(value, ""), "", MAX_DEPTH, { left: MAX_FILTERS });
}

/** The value that parseFilter makes `spec` of. */
export function renderFilter(spec: FilterSpec): Record<string, unknown> {
  switch (spec.kind) {
    case "header":
      return { header: { name: spec.name, ...renderText(spec.value) } };
    case "header-line":
      return { header: spec.regex };
    case "header-jq":
      return { header_jq: spec.program };
    case "path":
    case "method":
      return { [spec.kind]: renderText(spec.value) };
    case "body":
      return { body: { body: "json", query: spec.query, ...renderText(spec.value) } };
    default:
      return { [`${spec.kind}_of`]: spec.of.map(renderFilter) };
  }
}

const renderText = ({ op, text, ignoresCase }: TextPattern): Record<string, unknown> => ({
  [op === "regex" ? "matches" : op]: text,
  ignore_case: ignoresCase,
});

function parseOne(
  value: Fields,
  path: string,
  depth: number,
  counter: { left: number },
): FilterSpec {
  counter.left -= 1;
  if (counter.left < 0) throw new FilterError(path, `more than ${MAX_FILTERS} filters`);
  if (depth === 0)
    throw new FilterError(path, `filters inside filters, more than ${MAX_DEPTH} deep`);
  const given = Object.entries(value).filter(([, one]) => one !== undefined && one !== null);
  // mirrord writes a body filter inside all_of without a key of its own.
  if (value.body === "json") return parseBody(value, path);
  const [[key = "", one] = []] = given;
  if (given.length !== 1) {
    const keys = given.map(([name]) => name).join(", ");
    const what = given.length === 0 ? "no filter" : `several filters (${keys}); all_of joins them`;
    throw new FilterError(path, what);
  }
  const at = path === "" ? key : `${path}.${key}`;
  switch (KEYS[key] ?? key) {
    case "header":
      return typeof one === "string" ? parseHeaderLine(one, at) : parseHeader(one, at);
    case "header_jq":
      return { kind: "header-jq", program: checked(text(one, at), at, parseJq) };
    case "path":
      return { kind: "path", value: parseText(one, at, true) };
    case "method":
      return { kind: "method", value: parseMethod(one, at) };
    case "body":
      return parseBody(fields(one, at), at);
    case "all_of":
    case "any_of":
    case "none_of": {
      if (!Array.isArray(one) || one.length === 0) {
        throw new FilterError(at, "a list of filters was expected");
      }
      const of = one.map((entry, i) =>
        parseOne(fields(entry, `${at}[${i}]`), `${at}[${i}]`, depth - 1, counter),
      );
      return { kind: key.slice(0, -3) as "all" | "any" | "none", of };
    }
    default:
      throw new FilterError(at, "no filter is called so");
  }
}

/** `^x-user: me$` says what `{name: "x-user", exact: "me"}` says, but for upper and lower case. */
function parseHeaderLine(source: string, path: string): FilterSpec {
  checked(source, path, (regex) => compileRegex(regex, true));
  const literal = anchoredLiteral(source);
  const [, name, start] = /^([^:]*):(.*)$/s.exec(literal?.text ?? "") ?? [];
  if (literal === undefined || name === undefined || start === undefined || !TOKEN.test(name)) {
    return { kind: "header-line", name: undefined, regex: source };
  }
  // The colon is followed by one space, whatever was sent.
  const isPlain = (literal.rest === "" || literal.rest === "$") && /^ |^$/.test(start);
  if (!isPlain) return { kind: "header-line", name: name.toLowerCase(), regex: source };
  const op = literal.rest === "$" ? "exact" : "prefix";
  const isEmptyExact = op === "exact" && start === "";
  if (isEmptyExact) return { kind: "header-line", name: name.toLowerCase(), regex: source };
  return {
    kind: "header",
    name: name.toLowerCase(),
    value: { op, text: start.slice(1), ignoresCase: true },
  };
}

function parseHeader(value: unknown, path: string): FilterSpec {
  const { name, ...rest } = fields(value, path);
  if (typeof name !== "string" || !TOKEN.test(name) || name.length > MAX_TEXT) {
    throw new FilterError(`${path}.name`, "a header's name was expected");
  }
  const isAny = Object.values(rest).every((one) => one === undefined);
  const pattern: TextPattern = isAny
    ? { op: "prefix", text: "", ignoresCase: true }
    : parseText(rest, path, true);
  return { kind: "header", name: name.toLowerCase(), value: pattern };
}

/** A word is a method; anything else is an expression for all of it. */
function parseMethod(value: unknown, path: string): TextPattern {
  if (typeof value !== "string") return parseText(value, path, true);
  if (TOKEN.test(value) && !/[*+.^$|]/.test(value)) {
    return { op: "exact", text: value.toUpperCase(), ignoresCase: true };
  }
  return parseText(`^(?:${value.replace(/^\(\?i\)/, "")})$`, path, true);
}

function parseBody(value: Fields, path: string): FilterSpec {
  const { body, query, ...rest } = value;
  if (body !== "json") throw new FilterError(`${path}.body`, '"json" was expected');
  const at = `${path}.query`;
  return {
    kind: "body",
    query: checked(text(query, at), at, parseJsonPath),
    value: parseText(rest, path, false),
  };
}

/** An expression, or one of {exact}, {prefix} and {matches}; `ignoresCase` is what expressions do. */
function parseText(value: unknown, path: string, ignoresCase: boolean): TextPattern {
  const given = typeof value === "string" ? { matches: value } : fields(value, path);
  const { ignore_case: says, ...forms } = given as Fields;
  const [[form, source] = [], ...others] = Object.entries(forms).filter(
    ([, one]) => one !== undefined,
  );
  if (others.length > 0 || !["exact", "prefix", "matches"].includes(form ?? "")) {
    throw new FilterError(path, "an expression, or one of exact, prefix and matches, was expected");
  }
  if (says !== undefined && typeof says !== "boolean") {
    throw new FilterError(`${path}.ignore_case`, "true or false was expected");
  }
  const at = typeof value === "string" ? path : `${path}.${form}`;
  if (form === "matches") {
    const ignores = (says as boolean | undefined) ?? ignoresCase;
    const regex = checked(text(source, at), at, (one) => compileRegex(one, ignores));
    return simplified({ op: "regex", text: regex, ignoresCase: ignores });
  }
  const op = form as "exact" | "prefix";
  return { op, text: text(source, at), ignoresCase: (says as boolean | undefined) ?? false };
}

function checked(source: string, path: string, compile: (source: string) => unknown): string {
  try {
    compile(source);
    return source;
  } catch (error) {
    if (!(error instanceof RegexError) && !(error instanceof SyntaxError)) throw error;
    throw new FilterError(path, `${JSON.stringify(source)} cannot be used: ${error.message}`);
  }
}

function text(value: unknown, path: string): string {
  if (typeof value !== "string") throw new FilterError(path, "a string was expected");
  if (value.length > MAX_TEXT) throw new FilterError(path, `longer than ${MAX_TEXT} characters`);
  return value;
}

function fields(value: unknown, path: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new FilterError(path, "an object was expected");
  }
  return value as Fields;
}

const isPort = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) > 0 && (value as number) < 65536;
