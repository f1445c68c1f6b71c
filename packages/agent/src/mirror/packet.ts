/** TCP segments and UDP datagrams in IP packets as they came from a wire: foreign bytes. Pure. */
import type { Endpoint } from "@inpod/protocol";

export const FIN = 0x01;
export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

const TCP = 6;
const UDP = 17;
const IPV6_HEADER = 40;
/** Hop-by-hop, routing, fragment, destination options: what may stand in front of TCP (RFC 8200). */
const EXTENSIONS = new Set([0, 43, 44, 60]);
const FRAGMENT = 44;
const MAX_EXTENSIONS = 4;

export interface Packet {
  readonly protocol: "tcp" | "udp";
  /** Of the flow: both addresses and both ports, as bytes. */
  readonly key: string;
  readonly sourcePort: number;
  readonly port: number;
  /** TCP: of the payload's first byte, or of SYN. */
  readonly sequence: number;
  readonly flags: number;
  readonly payload: Buffer;
}

/**
 * Undefined: no whole header, a later fragment, or a checksum that is wrong: the target drops it, too.
 *
 * @param bytes from the IP header on; may be longer (Ethernet's padding) or shorter (cut) than the packet
 * @param isChecked somebody has verified its checksum, or it has none yet (offload)
 */
export function parsePacket(bytes: Buffer, isChecked: boolean): Packet | undefined {
  if (bytes.length < 20) return undefined;
  const version = bytes.readUInt8(0) >> 4;
  if (version === 4) return parseIPv4(bytes, isChecked);
  return version === 6 ? parseIPv6(bytes, isChecked) : undefined;
}

function parseIPv4(bytes: Buffer, isChecked: boolean): Packet | undefined {
  const header = (bytes.readUInt8(0) & 0xf) * 4;
  // 0: longer than 64 KiB, which only exists inside a machine (BIG TCP).
  const total = bytes.readUInt16BE(2) || bytes.length;
  const fragment = bytes.readUInt16BE(6) & 0x3fff;
  if (header < 20 || total < header || fragment !== 0) return undefined;
  return parseTransport(bytes, 12, 4, bytes.readUInt8(9), header, total, isChecked);
}

function parseIPv6(bytes: Buffer, isChecked: boolean): Packet | undefined {
  if (bytes.length < IPV6_HEADER) return undefined;
  const payload = bytes.readUInt16BE(4);
  const total = payload === 0 ? bytes.length : IPV6_HEADER + payload;
  let next = bytes.readUInt8(6);
  let at = IPV6_HEADER;
  for (let each = 0; EXTENSIONS.has(next); each++) {
    if (each === MAX_EXTENSIONS || at + 8 > bytes.length) return undefined;
    // Offset and M; one without either is whole (RFC 6946).
    if (next === FRAGMENT && (bytes.readUInt16BE(at + 2) & 0xfff9) !== 0) return undefined;
    const length = next === FRAGMENT ? 8 : 8 + bytes.readUInt8(at + 1) * 8;
    next = bytes.readUInt8(at);
    at += length;
  }
  return total < at ? undefined : parseTransport(bytes, 8, 16, next, at, total, isChecked);
}

function parseTransport(
  bytes: Buffer,
  addresses: number,
  addressBytes: number,
  protocol: number,
  at: number,
  total: number,
  isChecked: boolean,
): Packet | undefined {
  const end = Math.min(total, bytes.length);
  const isTcp = protocol === TCP;
  if (!isTcp && protocol !== UDP) return undefined;
  if (at + (isTcp ? 20 : 8) > end) return undefined;
  const header = isTcp ? (bytes.readUInt8(at + 12) >> 4) * 4 : 8;
  if (header < (isTcp ? 20 : 8) || at + header > end) return undefined;
  // Of one that was cut no checksum can be right.
  if (!isChecked && end === total) {
    // UDP over IPv4 may go without (RFC 768).
    const hasNone = !isTcp && bytes.readUInt16BE(at + 6) === 0;
    const pseudo = bytes.subarray(addresses, addresses + 2 * addressBytes);
    if (!hasNone && !isSumRight(pseudo, protocol, bytes.subarray(at, end))) return undefined;
  }
  // The kernel takes what is behind a datagram's own length for padding, and drops what is shorter than it says.
  const ownEnd = isTcp ? end : at + bytes.readUInt16BE(at + 4);
  if (ownEnd < at + header || ownEnd > end) return undefined;
  const flow = bytes.toString("latin1", addresses, addresses + 2 * addressBytes);
  return {
    protocol: isTcp ? "tcp" : "udp",
    key: flow + bytes.toString("latin1", at, at + 4),
    sourcePort: bytes.readUInt16BE(at),
    port: bytes.readUInt16BE(at + 2),
    sequence: isTcp ? bytes.readUInt32BE(at + 4) : 0,
    flags: isTcp ? bytes.readUInt8(at + 13) : 0,
    payload: bytes.subarray(at + header, ownEnd),
  };
}

/** The ones' complement sum over pseudo header and segment (RFC 1071, RFC 8200 section 8.1). */
function isSumRight(addresses: Buffer, protocol: number, segment: Buffer): boolean {
  let sum = protocol + (segment.length & 0xffff) + (segment.length >>> 16);
  for (let at = 0; at < addresses.length; at += 2) sum += addresses.readUInt16BE(at);
  const even = segment.length & ~1;
  for (let at = 0; at < even; at += 2) sum += segment.readUInt16BE(at);
  if (even !== segment.length) sum += segment.readUInt8(even) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000);
  return sum === 0xffff;
}

/**
 * What the first fragment of a packet says of it; undefined: it is something else. The others have no port. As the
 * kernel puts those of IPv4 together (capture.c), these are mostly IPv6's.
 */
export function firstFragment(
  bytes: Buffer,
): Pick<Packet, "protocol" | "key" | "port"> | undefined {
  if (bytes.length < 28) return undefined;
  const isIPv4 = bytes.readUInt8(0) >> 4 === 4;
  const fragment = isIPv4 ? firstOfIPv4(bytes) : firstOfIPv6(bytes);
  if (fragment === undefined) return undefined;
  const { protocol, at } = fragment;
  if ((protocol !== TCP && protocol !== UDP) || at + 4 > bytes.length) return undefined;
  const flow = isIPv4 ? bytes.toString("latin1", 12, 20) : bytes.toString("latin1", 8, 40);
  return {
    protocol: protocol === TCP ? "tcp" : "udp",
    key: flow + bytes.toString("latin1", at, at + 4),
    port: bytes.readUInt16BE(at + 2),
  };
}

interface Start {
  readonly protocol: number;
  readonly at: number;
}

function firstOfIPv4(bytes: Buffer): Start | undefined {
  const header = (bytes.readUInt8(0) & 0xf) * 4;
  const isFirst = (bytes.readUInt16BE(6) & 0x3fff) === 0x2000;
  return isFirst && header >= 20 ? { protocol: bytes.readUInt8(9), at: header } : undefined;
}

function firstOfIPv6(bytes: Buffer): Start | undefined {
  if (bytes.length < IPV6_HEADER + 8) return undefined;
  let next = bytes.readUInt8(6);
  let at = IPV6_HEADER;
  for (let each = 0; each < MAX_EXTENSIONS && EXTENSIONS.has(next); each++) {
    if (at + 8 > bytes.length) return undefined;
    if (next === FRAGMENT) {
      const isFirst = (bytes.readUInt16BE(at + 2) & 0xfff9) === 1;
      return isFirst ? { protocol: bytes.readUInt8(at), at: at + 8 } : undefined;
    }
    next = bytes.readUInt8(at);
    at += 8 + bytes.readUInt8(at + 1) * 8;
  }
  return undefined;
}

/** The flow's two ends, from its key. */
export function endsOf(key: string): { readonly client: Endpoint; readonly local: Endpoint } {
  const bytes = Buffer.from(key, "latin1");
  const addressBytes = (bytes.length - 4) / 2;
  const end = (at: number, port: number): Endpoint => ({
    address: addressText(bytes.subarray(at, at + addressBytes)),
    port: bytes.readUInt16BE(port),
  });
  return {
    client: end(0, bytes.length - 4),
    local: end(addressBytes, bytes.length - 2),
  };
}

function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16));
  // The URL parser has RFC 5952's one spelling.
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}
