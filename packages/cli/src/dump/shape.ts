/** What was seen, made ready to be written: secrets left out, bytes as text where they are text. Pure. */
import type { Seen, SeenConnection } from "@inpod/ports";
import { HIDDEN, isSecret, withoutSecrets } from "./secrets.ts";

type Of<Kind extends Seen["kind"]> = Extract<Seen, { kind: Kind }>;
export type SeenRequest = Of<"request">;
export type SeenBytes = Of<"bytes">;

export interface Shown {
  readonly showSecrets: boolean;
}

export interface NameValue {
  readonly name: string;
  readonly value: string;
}

/** Of a request, or its trailers. */
export const headersOf = (
  headers: readonly NameValue[],
  { showSecrets }: Shown,
): readonly NameValue[] =>
  headers.map(({ name, value }) => ({
    name: textOfLatin1(name),
    value: isSecret(name) && !showSecrets ? HIDDEN : textOfLatin1(value),
  }));

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Most mean UTF-8, where it is not ASCII. */
function textOfLatin1(value: string): string {
  if (/^[\x20-\x7e]*$/.test(value)) return value;
  try {
    return strict.decode(Buffer.from(value, "latin1"));
  } catch {
    return value;
  }
}

/** Undefined: they are no text. @param isCut they may end inside a character */
export function textOf(bytes: Uint8Array, isCut: boolean): string | undefined {
  let text: string;
  try {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    text = decoder.decode(bytes, { stream: isCut });
  } catch {
    return undefined;
  }
  return /[^\P{Cc}\t\n\r\f]/u.test(text) ? undefined : text;
}

/** Coded bytes are not text, whatever they look like. */
export const codingOf = ({ request: { headers } }: SeenRequest): string | undefined =>
  headers.find(({ name, value }) => name === "content-encoding" && value !== "identity")?.value;

export const headerOf = (
  { request: { headers } }: SeenRequest,
  wanted: string,
): string | undefined => headers.find(({ name }) => name === wanted)?.value;

/** Undefined: there can be secrets in what is no request that could be read. */
export const bytesOf = (
  { bytes, ofHead }: SeenBytes,
  { showSecrets }: Shown,
): Uint8Array | undefined => {
  if (showSecrets) return bytes;
  return ofHead ? undefined : withoutSecrets(bytes);
};

export const targetOf = ({ request: { target } }: SeenRequest): string => textOfLatin1(target);

export const endpoint = ({ address, port }: SeenConnection["client"]): string =>
  `${address.includes(":") ? `[${address}]` : address}:${port}`;

export const versionOf = ({ request: { version } }: SeenRequest): string => `HTTP/${version}`;
