/** Answers of our own (RFC 1035, section 4): of what was asked under a short name, and that nobody answers. Pure. */
import { isIPv4 } from "node:net";
import type { AddressRecord } from "@inpod/session";
import { parseSubnet } from "../plan/subnets.ts";

const HEADER_BYTES = 12;
const QR = 0x8000;
const TRUNCATED = 0x0200;
const RECURSION = 0x0180; // desired, available
/** A name that is the question's. */
const SAME_NAME = 0xc000 + HEADER_BYTES;
const RECORD_BYTES = 12;
/** What fits into a datagram without EDNS. */
const DATAGRAM_BYTES = 512;
export const RCODE = { ok: 0, servfail: 2, nxdomain: 3 } as const;

/** The question's end; undefined: malformed. Names in questions are not compressed. */
function questionEnd(message: Uint8Array): number | undefined {
  let at = HEADER_BYTES;
  while (at < message.length) {
    const octet = message[at] ?? 0;
    if (octet === 0) return at + 5 <= message.length ? at + 5 : undefined;
    if (octet > 63) return undefined;
    at += octet + 1;
  }
  return undefined;
}

/** @param limit bytes of what can be sent; beyond it nothing but that there is more */
export function answerTo(
  question: Uint8Array,
  rcode: number,
  records: readonly AddressRecord[] = [],
  limit: number = DATAGRAM_BYTES,
): Buffer | undefined {
  const end = questionEnd(question);
  if (end === undefined) return undefined;
  const data = records.map((record) => encode(record));
  const size = data.reduce((sum, { length }) => sum + length, end);
  const isWhole = size <= limit;
  const head = Buffer.from(question.subarray(0, end));
  head.writeUInt16BE(QR | RECURSION | (isWhole ? 0 : TRUNCATED) | rcode, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(isWhole ? data.length : 0, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, ...(isWhole ? data : [])]);
}

function encode({ address, ttlSeconds }: AddressRecord): Buffer {
  const width = isIPv4(address) ? 4 : 16;
  const { base } = parseSubnet(address) ?? { base: 0n };
  const bytes = Buffer.alloc(RECORD_BYTES + width);
  bytes.writeUInt16BE(SAME_NAME, 0);
  bytes.writeUInt16BE(width === 4 ? 1 : 28, 2);
  bytes.writeUInt16BE(1, 4); // IN
  bytes.writeUInt32BE(ttlSeconds, 6);
  bytes.writeUInt16BE(width, 10);
  for (let i = 0; i < width; i++)
    bytes[RECORD_BYTES + i] = Number((base >> BigInt(8 * (width - 1 - i))) & 0xffn);
  return bytes;
}
