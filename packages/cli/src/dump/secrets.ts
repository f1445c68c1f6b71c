/** Header values that are shown to nobody who has not asked for them. Pure. */

const SECRET = new Set([
  "authorization",
  "cookie",
  "set-cookie",
  "proxy-authorization",
  "x-api-key",
]);
const LINE = /((?:proxy-)?authorization|(?:set-)?cookie|x-api-key)([ \t]*:[ \t]*)([^\r\n]*)/gi;

export const HIDDEN = "(hidden)";

export const isSecret = (name: string): boolean => SECRET.has(name.toLowerCase());

/** Bytes of no request that was read: what looks like such a header there is made of asterisks. */
export function withoutSecrets(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes).toString("latin1");
  const masked = text.replace(
    LINE,
    (_, name: string, colon: string, value: string) => name + colon + "*".repeat(value.length),
  );
  return masked === text ? bytes : Buffer.from(masked, "latin1");
}
