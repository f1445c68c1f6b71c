/** What clients of an HTTP proxy say of where to (RFC 9110, 7.1 and 9.3.6; RFC 9112, 3.2), read without sockets. */
import { isIP } from "node:net";
import type { Destination } from "../reach.ts";

const MAX_NAME = 253;

/** CONNECT's `host:port`, with brackets around IPv6. @param port where it may be left out */
export function readAuthority(text: string, port?: number): Destination | undefined {
  const [, bracketed, name, digits] =
    /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? name ?? "";
  const isHost =
    bracketed === undefined
      ? host.length <= MAX_NAME && /^[a-z0-9_.-]+$/i.test(host)
      : isIP(bracketed) === 6;
  const number = digits === undefined ? port : Number(digits);
  if (!isHost || number === undefined || number < 1 || number > 65_535) return undefined;
  return { host, port: number };
}

/** Of a Host field. */
export const hostOf = ({ host, port }: Destination): string => {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === 80 ? name : `${name}:${port}`;
};

export interface AbsoluteForm {
  readonly to: Destination;
  /** For the request that goes there, in origin form. */
  readonly path: string;
}

/** `http://host[:port]/path?query`; undefined: it is something else. */
export function readAbsoluteForm(target: string): AbsoluteForm | undefined {
  const [, authority = "", rest = ""] = /^http:\/\/([^/?#]*)([^#]*)/i.exec(target) ?? [];
  // User and password before the host are for nobody here (RFC 9110, 4.2.4).
  const to = readAuthority(authority.replace(/^.*@/, ""), 80);
  if (to === undefined) return undefined;
  return { to, path: rest.startsWith("/") ? rest : `/${rest}` };
}

/** Between a client and its proxy alone (RFC 9110, 7.6.1; and what old clients send). */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
]);

/**
 * Fields as they came, names and values in turn, without those of this hop. `transfer-encoding` stays: each end frames
 * anew, in the same way.
 */
export function endToEnd(raw: readonly string[]): string[] {
  const named = new Set<string>();
  for (let at = 0; at < raw.length; at += 2)
    if (raw[at]?.toLowerCase() === "connection")
      for (const each of (raw[at + 1] ?? "").split(",")) named.add(each.trim().toLowerCase());
  const kept: string[] = [];
  for (let at = 0; at + 1 < raw.length; at += 2) {
    const name = raw[at] as string;
    const key = name.toLowerCase();
    const isOfHop = HOP_BY_HOP.has(key) || (named.has(key) && !FRAMING.has(key));
    if (!isOfHop) kept.push(name, raw[at + 1] as string);
  }
  return kept;
}

/** Whoever names one of them in Connection must not get the message's length, or its host, lost. */
const FRAMING = new Set(["content-length", "transfer-encoding", "host"]);
