/** Messages of DNS (RFC 1035, section 4): questions are written and read, answers are read and never changed. */

/** Of a name on the wire, with its length octets. */
const MAX_NAME = 255;
const MAX_RECORDS = 64;
const HEADER_BYTES = 12;
export const TYPE = { a: 1, aaaa: 28 } as const;
const RECURSION_DESIRED = 0x0100;
const CLASS_IN = 1;
const MAX_LABEL = 63;

export interface AddressRecord {
  /** As asked for, lower case, no final dot. */
  readonly name: string;
  readonly address: string;
  readonly ttlSeconds: number;
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
  /** TC: there is more than fits into a datagram. */
  readonly isTruncated: boolean;
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
      isTruncated: (flags & 0x0200) !== 0,
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
    // Of 32 bits the first is never set (RFC 2181, section 8).
    const ttlSeconds = view.getUint32(at + 4) & 0x7fffffff;
    const length = view.getUint16(at + 8);
    at += 10;
    if (type === TYPE.a && length === 4) {
      const parts = Array.from({ length: 4 }, (_, k) => view.getUint8(at + k));
      records.push({ name: question.name, address: parts.join("."), ttlSeconds });
    } else if (type === TYPE.aaaa && length === 16) {
      const groups = Array.from({ length: 8 }, (_, k) => view.getUint16(at + 2 * k).toString(16));
      records.push({ name: question.name, address: groups.join(":"), ttlSeconds });
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
    if (octet > MAX_LABEL || length > MAX_NAME) throw new RangeError("a name too long");
    labels.push(
      String.fromCharCode(...Array.from({ length: octet }, (_, i) => view.getUint8(at + 1 + i))),
    );
    at += octet + 1;
  }
  return { name: labels.join(".").toLowerCase(), end: end || at + 1 };
}

/** Whether a name can be asked for at all: labels of 1 to 63 octets, 253 in all, no final dot. */
export const canBeAsked = (name: string): boolean =>
  name.length <= MAX_NAME - 2 &&
  /^[\x21-\x7e]+$/.test(name) &&
  name.split(".").every((label) => label.length > 0 && label.length <= MAX_LABEL);

/** One question, recursion desired. @param name as canBeAsked() has it. @throws RangeError else */
export function query(id: number, name: string, type: number): Uint8Array {
  if (!canBeAsked(name)) throw new RangeError("not a name that can be asked for");
  const labels = name.split(".");
  const bytes = new Uint8Array(HEADER_BYTES + name.length + 6);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, id);
  view.setUint16(2, RECURSION_DESIRED);
  view.setUint16(4, 1);
  let at = HEADER_BYTES;
  for (const label of labels) {
    bytes[at++] = label.length;
    for (const char of label) bytes[at++] = char.charCodeAt(0);
  }
  view.setUint16(at + 1, type); // behind the root's empty label
  view.setUint16(at + 3, CLASS_IN);
  return bytes;
}
