/**
 * Names and the addresses that DNS answers gave them (RFC 1035, section 4): filters by name know an address
 * by these. Answers are read as they pass, and never changed.
 */

/** Of a name on the wire, with its length octets. */
const MAX_NAME = 255;
const MAX_RECORDS = 64;
const HEADER_BYTES = 12;
const TYPE = { a: 1, cname: 5, aaaa: 28 } as const;

export interface AddressRecord {
  /** As asked for, lower case, no final dot. */
  readonly name: string;
  readonly address: string;
}

/** Every address of an answer, under the name that was asked for. Malformed messages give none. */
export function addressesIn(message: Uint8Array): AddressRecord[] {
  try {
    return parse(new DataView(message.buffer, message.byteOffset, message.byteLength));
  } catch (error) {
    if (error instanceof RangeError) return []; // cut short, or lengths that lie
    throw error;
  }
}

export interface DnsQuestion {
  readonly id: number;
  readonly isAnswer: boolean;
  /** RCODE: 0 is no error, 3 that there is no such name. */
  readonly rcode: number;
  /** Answers of all types. */
  readonly answers: number;
  /** Lower case, no final dot. */
  readonly name: string;
  readonly type: number;
}

/** What is asked in a message, or was; undefined: it is malformed, or asks several things. */
export function questionIn(message: Uint8Array): DnsQuestion | undefined {
  try {
    const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
    const flags = view.getUint16(2);
    if (view.getUint16(4) !== 1) return undefined;
    const { name, end } = readName(view, HEADER_BYTES);
    return {
      id: view.getUint16(0),
      isAnswer: (flags & 0x8000) !== 0,
      rcode: flags & 0xf,
      answers: view.getUint16(6),
      name,
      type: view.getUint16(end),
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function parse(view: DataView): AddressRecord[] {
  const isAnswer = (view.getUint16(2) & 0x8000) !== 0;
  if (!isAnswer || view.getUint16(4) !== 1) return [];
  const question = readName(view, HEADER_BYTES);
  const count = Math.min(view.getUint16(6), MAX_RECORDS);
  const records: AddressRecord[] = [];
  let at = question.end + 4;
  for (let i = 0; i < count; i++) {
    at = readName(view, at).end;
    const type = view.getUint16(at);
    const length = view.getUint16(at + 8);
    at += 10;
    if (type === TYPE.a && length === 4) {
      const parts = Array.from({ length: 4 }, (_, k) => view.getUint8(at + k));
      records.push({ name: question.name, address: parts.join(".") });
    } else if (type === TYPE.aaaa && length === 16) {
      const groups = Array.from({ length: 8 }, (_, k) => view.getUint16(at + 2 * k).toString(16));
      records.push({ name: question.name, address: groups.join(":") });
    }
    at += length;
  }
  return records;
}

/** A compressed name points back (section 4.1.4), each pointer before all that was read: none can circle. */
function readName(view: DataView, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let length = 1; // the root's
  let at = start;
  let earliest = start;
  let end = 0;
  for (;;) {
    const octet = view.getUint8(at);
    if (octet === 0) break;
    if (octet >= 0xc0) {
      const target = view.getUint16(at) & 0x3fff;
      if (end === 0) end = at + 2;
      if (target >= earliest) throw new RangeError("a pointer that does not go back");
      earliest = target;
      at = target;
      continue;
    }
    length += octet + 1;
    if (octet > 63 || length > MAX_NAME) throw new RangeError("a name too long");
    labels.push(
      String.fromCharCode(...Array.from({ length: octet }, (_, i) => view.getUint8(at + 1 + i))),
    );
    at += octet + 1;
  }
  return { name: labels.join(".").toLowerCase(), end: end || at + 1 };
}

const MAX_ADDRESSES = 4096;
const MAX_NAMES_EACH = 16;

/** Remembers, oldest forgotten first. */
export class KnownNames {
  readonly #names = new Map<string, string[]>();

  learn(message: Uint8Array): void {
    for (const { name, address } of addressesIn(message)) {
      const known = this.#names.get(address) ?? [];
      this.#names.delete(address);
      this.#names.set(
        address,
        [name, ...known.filter((other) => other !== name)].slice(0, MAX_NAMES_EACH),
      );
      const [oldest] = this.#names.keys();
      if (this.#names.size > MAX_ADDRESSES && oldest !== undefined) this.#names.delete(oldest);
    }
  }

  of(address: string): readonly string[] {
    return this.#names.get(address) ?? [];
  }
}
