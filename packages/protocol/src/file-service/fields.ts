/** The fields of the file service's messages: each is written and read in one way, little-endian. */
import { ProtocolError } from "../frames.ts";
import type { ByteString } from "../messages.ts";

/** Bytes: PATH_MAX without its NUL. */
export const MAX_PATH = 4095;
/** Bytes: NAME_MAX. */
export const MAX_NAME = 255;

/** Grows; the bytes are taken once. */
export class Writer {
  #bytes = new Uint8Array(128);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  /** Where `more` bytes go. To be called before #bytes and #view are looked at: it may replace them. */
  #room(more: number): number {
    const at = this.#length;
    this.#length += more;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    return at;
  }

  u8(value: number): void {
    const at = this.#room(1);
    this.#view.setUint8(at, value);
  }

  u16(value: number): void {
    const at = this.#room(2);
    this.#view.setUint16(at, value, true);
  }

  u32(value: number): void {
    const at = this.#room(4);
    this.#view.setUint32(at, value, true);
  }

  i32(value: number): void {
    const at = this.#room(4);
    this.#view.setInt32(at, value, true);
  }

  u64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigUint64(at, value, true);
  }

  i64(value: bigint): void {
    const at = this.#room(8);
    this.#view.setBigInt64(at, value, true);
  }

  bytes(value: Uint8Array): void {
    const at = this.#room(value.length);
    this.#bytes.set(value, at);
  }

  byteString(value: ByteString): void {
    const at = this.#room(value.length);
    for (let i = 0; i < value.length; i++) this.#bytes[at + i] = value.charCodeAt(i);
  }

  /** Writes the length of all that follows it into the first four bytes. */
  framed(): Uint8Array {
    this.#view.setUint32(0, this.#length - 4, true);
    return this.#bytes.subarray(0, this.#length);
  }

  taken(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Of foreign bytes. Every method throws a ProtocolError when there are not enough of them. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at) throw new ProtocolError("a cut message about files");
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), true);
  }

  /** A view, not a copy. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  byteString(count: number): ByteString {
    const at = this.#take(count);
    let text = "";
    for (let i = at; i < at + count; i++) text += String.fromCharCode(this.#bytes[i] as number);
    return text;
  }

  /** @throws ProtocolError when something is left */
  end(): void {
    if (this.left > 0) throw new ProtocolError("a message about files with something behind it");
  }
}

/** `write` trusts its value, which is ours; `read` throws a ProtocolError for what cannot be. */
export interface Field<T> {
  write(to: Writer, value: T): void;
  read(from: Reader): T;
}
export type Fields = Readonly<Record<string, Field<never> | Field<unknown>>>;
export type Values<F extends Fields> = {
  readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never;
};

export const u8: Field<number> = {
  write: (to, value) => to.u8(value),
  read: (from) => from.u8(),
};
export const u16: Field<number> = {
  write: (to, value) => to.u16(value),
  read: (from) => from.u16(),
};
export const u32: Field<number> = {
  write: (to, value) => to.u32(value),
  read: (from) => from.u32(),
};
/** Exact, for what is only handed on: cookies, inode numbers. */
export const u64: Field<bigint> = {
  write: (to, value) => to.u64(value),
  read: (from) => from.u64(),
};
export const i64: Field<bigint> = {
  write: (to, value) => to.i64(value),
  read: (from) => from.i64(),
};
/** Of a file: what is beyond 2^53 - 1 (a sparse file may say so) is cut to that. */
export const size: Field<number> = {
  write: (to, value) => to.u64(BigInt(value)),
  read: (from) => {
    const exact = from.u64();
    return exact > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(exact);
  },
};
export const bool: Field<boolean> = {
  write: (to, value) => to.u8(value ? 1 : 0),
  read: (from) => from.u8() !== 0,
};
/** All that is left of the message. */
export const rest: Field<Uint8Array> = {
  write: (to, value) => to.bytes(value),
  read: (from) => from.bytes(from.left),
};

/** u16 length · bytes without NUL. @param isValid of a value that is short enough */
function text(limit: number, isValid: (value: ByteString) => boolean): Field<ByteString> {
  return {
    write: (to, value) => {
      to.u16(value.length);
      to.byteString(value);
    },
    read: (from) => {
      const length = from.u16();
      if (length > limit) throw new ProtocolError("a name of a file that is too long");
      const value = from.byteString(length);
      if (value.includes("\0") || !isValid(value))
        throw new ProtocolError("a name of a file that cannot be");
      return value;
    },
  };
}

const areNames = (path: string): boolean =>
  path
    .split("/")
    .every((name) => name !== "" && name !== "." && name !== ".." && name.length <= MAX_NAME);

/** `/` or `/a/b`: what a name can be at every place, none empty, `.` or `..`. */
export const path = text(
  MAX_PATH,
  (value) => value === "/" || (value.startsWith("/") && areNames(value.slice(1))),
);
/** What a program may give to open(2), when it is absolute. */
export const rawPath = text(MAX_PATH, (value) => value.startsWith("/"));
/** Below a directory, which is the empty path itself. */
export const relativePath = text(MAX_PATH, (value) => value === "" || areNames(value));
/** One name in a directory; empty: the directory itself. */
export const nameOrNone = text(
  MAX_NAME,
  (value) => value === "" || (!value.includes("/") && areNames(value)),
);
/** Where a link points: never empty (symlink(2)). */
export const linkTarget = text(MAX_PATH, (value) => value !== "");
/** Of an extended attribute (xattr(7)). */
export const attributeName = text(MAX_NAME, (value) => value !== "");

/** u32 length, all ones for "not sent" · bytes. */
export const optionalBytes: Field<Uint8Array | undefined> = {
  write: (to, value) => {
    to.u32(value ? value.length : NOT_SENT);
    if (value) to.bytes(value);
  },
  read: (from) => {
    const length = from.u32();
    return length === NOT_SENT ? undefined : from.bytes(length);
  },
};
const NOT_SENT = 0xffff_ffff;

export function writeAll<F extends Fields>(to: Writer, fields: F, values: Values<F>): void {
  for (const [name, field] of Object.entries(fields))
    (field as Field<unknown>).write(to, values[name]);
}

export function readAll<F extends Fields>(from: Reader, fields: F): Values<F> {
  const values: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) values[name] = field.read(from);
  return values as Values<F>;
}
