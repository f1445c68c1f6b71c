/**
 * Whether header fields are what their kind of message may have (RFC 9113, section 8). What is not was sent by a
 * mistake, or by somebody who hopes that two programs read it differently: nobody gets it.
 */
import { type RequestFacts, requestOfHttp2 } from "../filter/subject.ts";
import type { Field } from "./hpack.ts";

/** Section 8.2.2: they belong to HTTP/1's connections. */
const HOP_BY_HOP = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);
const REQUEST_PSEUDO = new Set([":method", ":scheme", ":authority", ":path", ":protocol"]);
/** A field's name: a token without upper case. */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** Those that end a line elsewhere. */
const ENDS_LINE = /[\0\r\n]/;

export type Request =
  | { readonly kind: "request"; readonly facts: RequestFacts; readonly isExtendedConnect: boolean }
  | { readonly kind: "malformed"; readonly why: string };

export function readRequest(fields: readonly Field[]): Request {
  const pseudo = new Map<string, string>();
  let isRegular = false;
  for (const { name, value } of fields) {
    if (name.startsWith(":")) {
      if (isRegular) return malformed("a pseudo-header field after others");
      if (!REQUEST_PSEUDO.has(name) || pseudo.has(name)) return malformed("pseudo-header fields");
      if (ENDS_LINE.test(value)) return malformed("a line's end in a field");
      pseudo.set(name, value);
      continue;
    }
    isRegular = true;
    const why = wrongField(name, value);
    if (why !== undefined) return malformed(why);
  }
  const method = pseudo.get(":method");
  const isExtendedConnect = pseudo.has(":protocol");
  const hasTarget = pseudo.has(":scheme") && (pseudo.get(":path") ?? "") !== "";
  const hasAuthority = pseudo.has(":authority");
  if (!method) return malformed("no method");
  if (method === "CONNECT" && !isExtendedConnect) {
    const isWhole = hasAuthority && !pseudo.has(":scheme") && !pseudo.has(":path");
    if (!isWhole) return malformed("a CONNECT with other pseudo-header fields");
  } else if (!hasTarget || (isExtendedConnect && method !== "CONNECT")) {
    return malformed("no target");
  }
  const pairs = fields.map(({ name, value }): [string, string] => [name, value]);
  return { kind: "request", facts: requestOfHttp2(pairs), isExtendedConnect };
}

/** @returns why these cannot be trailers; undefined: they can */
export function wrongTrailers(fields: readonly Field[]): string | undefined {
  for (const { name, value } of fields) {
    const why = name.startsWith(":") ? "pseudo-header fields in trailers" : wrongField(name, value);
    if (why !== undefined) return why;
  }
  return undefined;
}

function wrongField(name: string, value: string): string | undefined {
  if (!NAME.test(name) || HOP_BY_HOP.has(name)) return "a field with a name that is not allowed";
  if (ENDS_LINE.test(value)) return "a line's end in a field";
  if (name === "te" && value !== "trailers") return "te is not trailers";
  return undefined;
}

const malformed = (why: string): Request => ({ kind: "malformed", why });
