/**
 * Header fields of HTTP/2 as bytes and back (HPACK, RFC 7541). A field that is passed on is written as it came:
 * kept in the table of the other side if it was in the table of ours, and never there if its sender forbade
 * that. Then a field that both tables know costs one look by identity.
 */
import { latin1 } from "../bytes.ts";
import { decodeHuffman } from "./huffman.ts";
import { STATIC_TABLE } from "./static-table.ts";

export interface Field {
  /** In lower case, as its sender had to write it. Pseudo-header fields begin with a colon. */
  readonly name: string;
  /** One char for each byte. */
  readonly value: string;
  /** `never`: a secret; no hop may keep it in a table (section 7.1.3). */
  readonly indexing: "yes" | "no" | "never";
}

/** A block that cannot be decoded: nothing that follows on its connection can. */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

/** What an entry costs beside its characters (section 4.1). */
const ENTRY_OVERHEAD = 32;
/** Bytes of a table: what every peer allows, as long as it says nothing else. */
export const TABLE_BYTES = 4096;
/** Integers have 28 bits at most: more than any length or index that is allowed. */
const MAX_INTEGER_SHIFT = 21;

const statics: readonly Field[] = STATIC_TABLE.map(([name, value]) => ({
  name,
  value,
  indexing: "yes",
}));

export const fieldBytes = ({ name, value }: Field): number =>
  name.length + value.length + ENTRY_OVERHEAD;

/** The newest entry is the last; the oldest ones go when it is full. */
class Table {
  #entries: Field[] = [];
  /** Of #entries: those before have been evicted. */
  #oldest = 0;
  #bytes = 0;
  #limit = TABLE_BYTES;
  readonly #onEvicted: (field: Field, position: number) => void;
  /** How many entries were forgotten by #compact(). */
  #base = 0;

  constructor(onEvicted: (field: Field, position: number) => void = () => undefined) {
    this.#onEvicted = onEvicted;
  }

  get limit(): number {
    return this.#limit;
  }

  get length(): number {
    return this.#entries.length - this.#oldest;
  }

  resize(limit: number): void {
    this.#limit = limit;
    this.#evict(limit);
  }

  /** @param index 0 is the newest */
  at(index: number): Field | undefined {
    return index < this.length ? this.#entries[this.#entries.length - 1 - index] : undefined;
  }

  /** Of an entry by what add() has returned. */
  indexOf(position: number): number {
    return this.#base + this.#entries.length - 1 - position;
  }

  /** @returns its position, the same as long as it is there; undefined: it is too large, and the table empty now */
  add(field: Field): number | undefined {
    const bytes = fieldBytes(field);
    this.#evict(this.#limit - bytes);
    if (bytes > this.#limit) return undefined;
    this.#bytes += bytes;
    return this.#base + this.#entries.push(field) - 1;
  }

  #evict(room: number): void {
    while (this.#bytes > room && this.length > 0) {
      const field = this.#entries[this.#oldest] as Field;
      this.#bytes -= fieldBytes(field);
      this.#onEvicted(field, this.#base + this.#oldest);
      this.#oldest += 1;
    }
    if (this.#oldest > 64 && this.#oldest * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#oldest);
      this.#base += this.#oldest;
      this.#oldest = 0;
    }
  }
}

export interface Decoded {
  readonly fields: readonly Field[];
  /** More than the limit: only some are there. The connection can go on. */
  readonly isTooLarge: boolean;
}

export class HpackDecoder {
  readonly #table = new Table();
  readonly #mostTableBytes: number;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;

  /** @param mostTableBytes what the other end was allowed, or what it may have been by somebody whom we do not see */
  constructor(mostTableBytes = TABLE_BYTES) {
    this.#mostTableBytes = mostTableBytes;
  }

  /**
   * @param limitBytes of all fields, counted as SETTINGS_MAX_HEADER_LIST_SIZE does
   * @throws HpackError
   */
  decode(block: Uint8Array, limitBytes: number): Decoded {
    this.#bytes = block;
    this.#at = 0;
    const fields: Field[] = [];
    let left = limitBytes;
    let mayResize = true;
    while (this.#at < block.length) {
      const first = block[this.#at] as number;
      if ((first & 0xe0) === 0x20) {
        const size = this.#integer(0x1f);
        if (!mayResize || size > this.#mostTableBytes)
          throw new HpackError("a table size out of place");
        this.#table.resize(size);
        continue;
      }
      mayResize = false;
      const field = this.#field(first);
      left -= fieldBytes(field);
      if (left >= 0) fields.push(field);
    }
    this.#bytes = new Uint8Array(0);
    return { fields, isTooLarge: left < 0 };
  }

  #field(first: number): Field {
    if (first >= 0x80) return this.#indexed(this.#integer(0x7f));
    if (first >= 0x40) {
      const field = this.#literal(0x3f, "yes");
      this.#table.add(field);
      return field;
    }
    return first >= 0x10 ? this.#literal(0x0f, "never") : this.#literal(0x0f, "no");
  }

  #literal(mask: number, indexing: Field["indexing"]): Field {
    const index = this.#integer(mask);
    const name = index === 0 ? this.#string() : this.#indexed(index).name;
    return { name, value: this.#string(), indexing };
  }

  #indexed(index: number): Field {
    const field =
      index <= statics.length ? statics[index - 1] : this.#table.at(index - 1 - statics.length);
    if (field === undefined) throw new HpackError("an index that is not in the table");
    return field;
  }

  #integer(mask: number): number {
    const first = this.#next() & mask;
    if (first < mask) return first;
    let value = mask;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#next();
      if (shift > MAX_INTEGER_SHIFT) throw new HpackError("a number that is too large");
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  #next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new HpackError("it ends inside a field");
    this.#at += 1;
    return byte;
  }

  #string(): string {
    const isHuffman = ((this.#bytes[this.#at] as number) & 0x80) !== 0;
    const length = this.#integer(0x7f);
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new HpackError("it ends inside a string");
    this.#at += length;
    if (!isHuffman) return latin1(this.#bytes.subarray(from, this.#at));
    const text = decodeHuffman(this.#bytes, from, this.#at);
    if (text === undefined) throw new HpackError("a string in no Huffman code");
    return text;
  }
}

const staticByField = new Map<Field, number>();
const staticByText = new Map<string, number>();
const staticByName = new Map<string, number>();
const textOf = ({ name, value }: Field): string => `${name}\0${value}`;
for (const [at, field] of statics.entries()) {
  staticByField.set(field, at + 1);
  if (!staticByText.has(textOf(field))) staticByText.set(textOf(field), at + 1);
  if (!staticByName.has(field.name)) staticByName.set(field.name, at + 1);
}

export class HpackEncoder {
  /** Positions of the table. */
  readonly #byField = new Map<Field, number>();
  readonly #byText = new Map<string, number>();
  readonly #table = new Table((field, position) => {
    this.#byField.delete(field);
    const text = textOf(field);
    if (this.#byText.get(text) === position) this.#byText.delete(text);
  });
  #out = new Uint8Array(1024);
  #length = 0;
  /** To be said at the start of the next block: the smallest in between, and the last (section 4.2). */
  #resizes: number[] = [];

  /** @param bytes the peer's SETTINGS_HEADER_TABLE_SIZE; ours does not grow beyond TABLE_BYTES */
  limitTable(bytes: number): void {
    const size = Math.min(bytes, TABLE_BYTES);
    if (size === (this.#resizes.at(-1) ?? this.#table.limit)) return;
    const smallest = Math.min(size, ...this.#resizes);
    this.#resizes = smallest === size ? [size] : [smallest, size];
  }

  /** @returns the block; valid until the next call */
  encode(fields: readonly Field[]): Uint8Array {
    this.#length = 0;
    for (const size of this.#resizes) {
      this.#table.resize(size);
      this.#integer(0x20, 0x1f, size);
    }
    this.#resizes = [];
    for (const field of fields) this.#field(field);
    return this.#out.subarray(0, this.#length);
  }

  #field(field: Field): void {
    if (field.indexing === "yes") {
      const known = staticByField.get(field) ?? this.#dynamic(this.#byField.get(field));
      if (known !== undefined) {
        this.#integer(0x80, 0x7f, known);
        return;
      }
    }
    if (field.indexing === "never") this.#literal(0x10, 0x0f, field);
    else {
      const text = textOf(field);
      const known = staticByText.get(text) ?? this.#dynamic(this.#byText.get(text));
      if (known !== undefined) this.#integer(0x80, 0x7f, known);
      else if (field.indexing === "no") this.#literal(0x00, 0x0f, field);
      else {
        this.#literal(0x40, 0x3f, field);
        const position = this.#table.add(field);
        if (position === undefined) return;
        this.#byField.set(field, position);
        this.#byText.set(text, position);
      }
    }
  }

  #dynamic(position: number | undefined): number | undefined {
    return position === undefined ? undefined : statics.length + 1 + this.#table.indexOf(position);
  }

  #literal(pattern: number, mask: number, { name, value }: Field): void {
    const known = staticByName.get(name) ?? 0;
    this.#integer(pattern, mask, known);
    if (known === 0) this.#string(name);
    this.#string(value);
  }

  #integer(pattern: number, mask: number, value: number): void {
    this.#reserve(6);
    if (value < mask) {
      this.#out[this.#length++] = pattern | value;
      return;
    }
    this.#out[this.#length++] = pattern | mask;
    let left = value - mask;
    for (; left >= 0x80; left >>>= 7) this.#out[this.#length++] = (left & 0x7f) | 0x80;
    this.#out[this.#length++] = left;
  }

  #string(text: string): void {
    this.#integer(0, 0x7f, text.length);
    this.#reserve(text.length);
    for (let at = 0; at < text.length; at++) this.#out[this.#length + at] = text.charCodeAt(at);
    this.#length += text.length;
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#out.length) return;
    const grown = new Uint8Array(2 * (this.#length + bytes));
    grown.set(this.#out.subarray(0, this.#length));
    this.#out = grown;
  }
}
