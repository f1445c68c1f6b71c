/** By what a developer's requests are known: headers and a path's beginning, as flags say them. Pure. */
import { UserError } from "@inpod/protocol";
import { FilterError, parseHttpFilter } from "@inpod/session";
import type { ResolvedConfig } from "../config/resolve.ts";

export interface Header {
  readonly name: string;
  readonly value: string;
}

/** All of it must match. */
export interface Mark {
  readonly headers: readonly Header[];
  readonly pathPrefix: string | undefined;
}

/** ktctl's name for the header, which its users' gateways and libraries pass on already. */
const DEFAULT_HEADER = "VERSION";
/** Accounts that many people have, each in a machine or container of their own. */
const SHARED_NAMES =
  /^(admin|app|codespace|coder|dev|developer|gitpod|guest|node|root|somebody|ubuntu|user|vagrant|vscode)$/;
const MAX_NAME = 40;
/** Of RFC 9110 what no library refuses or changes: visible ASCII, with spaces inside. */
const VALUE = /^[\x21-\x7e]([\x20-\x7e]{0,200}[\x21-\x7e])?$/;

/** `[KEY:]VALUE` of `--version-mark`. @throws UserError USAGE_INVALID */
export function readVersionMark(text: string): Header {
  const [, name = DEFAULT_HEADER, value = ""] = /^(?:([^:]*):)?(.*)$/s.exec(text) ?? [];
  return checked("--version-mark", text, { name, value: value.trim() });
}

/** `NAME=VALUE` of `--header`, which may be given again. @throws UserError USAGE_INVALID */
export function readHeader(text: string, before: readonly Header[] = []): readonly Header[] {
  const [, name = "", value = ""] = /^([^=:]*)[=:](.*)$/s.exec(text) ?? [];
  return [...before, checked("--header", text, { name: name.trim(), value: value.trim() })];
}

/** @throws UserError USAGE_INVALID */
export function readPathPrefix(text: string): string {
  if (/^\/[\x21-\x7e]{0,400}$/.test(text)) return text;
  throw new UserError("USAGE_INVALID", `--path-prefix "${text}" is no path`, {
    hints: ["it begins with a slash: --path-prefix /api/orders"],
  });
}

function checked(flag: string, text: string, header: Header): Header {
  const isName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,80}$/.test(header.name);
  if (isName && VALUE.test(header.value)) return header;
  throw new UserError(
    "USAGE_INVALID",
    `${flag} "${text}" ${isName ? "has no value that a header can have" : "names no header"}`,
    { hints: ["--version-mark alice, or --version-mark KEY:VALUE", "--header KEY=VALUE"] },
  );
}

/**
 * The same for a user on a machine, whenever it is asked for.
 * @param name of the login
 * @param machine its host name, where many have the same login
 */
export function defaultMark(name: string, machine: string): Header {
  const safe = headerSafe(name) || "somebody";
  const value = SHARED_NAMES.test(safe) ? headerSafe(`${safe}-${machine}`) : safe;
  return { name: DEFAULT_HEADER, value };
}

/** "CORP\Élodie Dupont" is elodie-dupont. */
const headerSafe = (text: string): string =>
  text
    .replace(/^.*\\/s, "")
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9._-]+/g, "-")
    .slice(0, MAX_NAME)
    .replace(/^[-.]+|[-.]+$/g, "");

/** As `feature.network.incoming.http_filter` would say it. */
function asConfig({ headers, pathPrefix }: Mark): Record<string, unknown> {
  const all = [
    ...headers.map(({ name, value }) => ({ header: { name, exact: value } })),
    ...(pathPrefix === undefined ? [] : [{ path: { prefix: pathPrefix } }]),
  ];
  const [only] = all;
  return all.length === 1 && only !== undefined ? only : { all_of: all };
}

/** The mark in the place of a filter that a project's configuration has for `exec`. @throws UserError USAGE_INVALID */
export function withMark(config: ResolvedConfig, mark: Mark): ResolvedConfig {
  const said = asConfig(mark);
  try {
    const spec = parseHttpFilter(said);
    if (spec === undefined) throw new FilterError("", "it says nothing");
    const incoming = { ...config.layer.incoming, httpFilter: { ...spec, said } };
    return { ...config, layer: { ...config.layer, incoming } };
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new UserError("USAGE_INVALID", "these requests cannot be told apart", { cause: error });
  }
}

/** For people: `VERSION: alice`, `x-user: me and a path that begins with /api`. */
export function markWords({ headers, pathPrefix }: Mark): string {
  const all = [
    ...headers.map(({ name, value }) => `${name}: ${value}`),
    ...(pathPrefix === undefined ? [] : [`a path that begins with ${pathPrefix}`]),
  ];
  return all.join(" and ");
}

/** A line to paste where the target can be reached by `address`. */
export function curlLine({ headers, pathPrefix = "/" }: Mark, address: string): string {
  const flags = headers.map(({ name, value }) => `-H ${quoted(`${name}: ${value}`)} `).join("");
  return `curl ${flags}${quoted(`http://${address}${pathPrefix}`)}`;
}

const quoted = (text: string): string =>
  /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
