/** Where a message's body ends (RFC 9112, section 6), and whether another message follows. */
import type { Header, ResponseHead } from "./head.ts";

export type Body =
  | { readonly kind: "none" | "chunked" }
  | { readonly kind: "length"; readonly length: number }
  /** Of responses only: the rest of the connection. */
  | { readonly kind: "until-close" };

export interface Malformed {
  readonly kind: "malformed";
  readonly why: string;
}

export const malformed = (why: string): Malformed => ({ kind: "malformed", why });

const NONE: Body = { kind: "none" };

export function requestBody(
  method: string,
  minor: 0 | 1,
  headers: readonly Header[],
): Body | Malformed {
  const framing = declaredBody(minor, headers);
  if (framing === undefined) return NONE;
  if (framing.kind === "malformed") return framing;
  if (method === "CONNECT") return malformed("CONNECT with a body");
  if (framing.kind === "until-close") return malformed("a transfer coding without an end");
  return framing;
}

/**
 * @param requestMethod of the request that is answered
 * @returns until-close is also for what two readers would end at different places: it is then the whole
 *   rest of the connection, on which no other message can follow
 */
export function responseBody(
  { status, minor, headers }: ResponseHead,
  requestMethod: string,
): Body {
  if (requestMethod === "HEAD" || status < 200 || status === 204 || status === 304) return NONE;
  if (requestMethod === "CONNECT" && status < 300) return NONE;
  const framing = declaredBody(minor, headers);
  if (framing === undefined || framing.kind === "malformed") return { kind: "until-close" };
  return framing;
}

/** undefined: the headers say nothing about a body. */
function declaredBody(minor: 0 | 1, headers: readonly Header[]): Body | Malformed | undefined {
  let length: string | undefined;
  let codings: string | undefined;
  for (const { name, value } of headers) {
    if (name === "content-length") {
      // Equal ones are allowed, but who checks that they are?
      if (length !== undefined) return malformed("more than one Content-Length");
      length = value;
    } else if (name === "transfer-encoding") {
      if (codings !== undefined) return malformed("more than one Transfer-Encoding");
      codings = value;
    }
  }
  if (codings !== undefined) {
    if (length !== undefined) return malformed("Content-Length with Transfer-Encoding");
    if (minor === 0) return malformed("Transfer-Encoding in HTTP/1.0");
    return codedBody(codings);
  }
  if (length === undefined) return undefined;
  // 15 digits are below 2^53.
  if (!/^\d{1,15}$/.test(length)) return malformed("not a Content-Length");
  return length === "0" ? NONE : { kind: "length", length: Number(length) };
}

function codedBody(value: string): Body | Malformed {
  const codings = value.split(",").map((coding) => coding.trim().toLowerCase());
  const last = codings.pop();
  if (!codings.every((coding) => /^(x-)?(gzip|compress)$|^deflate$/.test(coding))) {
    return malformed("not a transfer coding");
  }
  if (last === "chunked") return { kind: "chunked" };
  return /^(x-)?(gzip|compress)$|^deflate$/.test(last ?? "")
    ? { kind: "until-close" }
    : malformed("not a transfer coding");
}

/** Whether the sender of these headers keeps the connection open after the exchange (RFC 9112, section 9.3). */
export function isPersistent(minor: 0 | 1, headers: readonly Header[]): boolean {
  if (hasToken(headers, "connection", "close")) return false;
  return minor === 1 || hasToken(headers, "connection", "keep-alive");
}

/** Whether one of the headers called `name` has `token` in its comma-separated list. Both in lower case. */
export function hasToken(headers: readonly Header[], name: string, token: string): boolean {
  return headers.some(
    (header) =>
      header.name === name &&
      (header.value.toLowerCase() === token ||
        (header.value.includes(",") &&
          header.value.split(",").some((part) => part.trim().toLowerCase() === token))),
  );
}
