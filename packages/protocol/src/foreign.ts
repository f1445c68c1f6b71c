/** What foreign JSON is read with: each gives the value that it was asked for, or throws a ProtocolError. */
import { ProtocolError } from "./frames.ts";
import type { Endpoint } from "./messages.ts";

const MAX_TEXT = 4096;

export type Fields = Readonly<Record<string, unknown>>;

export function fail(what: string): never {
  throw new ProtocolError(`not what was expected: ${what}`);
}

export function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value)) fail(what);
  return value as Fields;
}

export function text(value: unknown, what: string, limit = MAX_TEXT): string {
  if (typeof value !== "string" || value.length > limit) fail(what);
  return value;
}

/** A ByteString: no char beyond a byte, no NUL. */
export function byteString(value: unknown, what: string, limit: number): string {
  const bytes = text(value, what, limit);
  for (let i = 0; i < bytes.length; i++) {
    const code = bytes.charCodeAt(i);
    if (code === 0 || code > 0xff) fail(what);
  }
  return bytes;
}

export function integer(value: unknown, what: string, max = Number.MAX_SAFE_INTEGER): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > max) fail(what);
  return value as number;
}

export function list<T>(
  value: unknown,
  what: string,
  limit: number,
  each: (entry: unknown) => T,
): T[] {
  if (!Array.isArray(value) || value.length > limit) fail(what);
  return value.map(each);
}

const HEX_GROUPS = /^[0-9a-fA-F:.]{2,45}$/;

/** An IP literal by its shape; whoever uses it checks it again. Never a name: those would be resolved here. */
export function address(value: unknown): string {
  const literal = text(value, "address", 45);
  const parts = literal.split(".");
  const isV4 =
    parts.length === 4 && parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256);
  if (!isV4 && !(literal.includes(":") && HEX_GROUPS.test(literal))) fail("address");
  return literal;
}

export const port = (value: unknown): number => integer(value, "port", 65535);

export function endpoint(value: unknown): Endpoint {
  const from = fields(value, "endpoint");
  return { address: address(from.address), port: port(from.port) };
}
