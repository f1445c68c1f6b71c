/** struct sockaddr_in and sockaddr_in6 as the kernel lays them out (ip(7), ipv6(7)), little-endian family. */
import { isIPv4, isIPv6 } from "node:net";

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
/** Bytes: the room for a name in struct sockaddr_un. */
const SUN_PATH = 108;

export interface SocketAddress {
  readonly family: "IPv4" | "IPv6";
  /** An IPv4-mapped IPv6 address is told as IPv4 with `isMapped`. */
  readonly address: string;
  readonly port: number;
  readonly isMapped: boolean;
}

/** Undefined for other families and truncated addresses. */
export function decodeAddress(bytes: Buffer): SocketAddress | undefined {
  if (bytes.length < 2) return undefined;
  const family = bytes.readUInt16LE(0);
  if (family === AF_INET && bytes.length >= 16) {
    return {
      family: "IPv4",
      address: dotted(bytes, 4),
      port: bytes.readUInt16BE(2),
      isMapped: false,
    };
  }
  if (family !== AF_INET6 || bytes.length < 24) return undefined;
  const port = bytes.readUInt16BE(2);
  const isMapped =
    bytes.subarray(8, 18).every((byte) => byte === 0) && bytes.readUInt16BE(18) === 0xffff;
  if (isMapped) return { family: "IPv4", address: dotted(bytes, 20), port, isMapped };
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(8 + 2 * i).toString(16));
  return { family: "IPv6", address: compress(groups), port, isMapped };
}

/** @param address an IP literal; anything else throws a TypeError */
export function encodeAddress(address: string, port: number): Buffer {
  if (isIPv4(address)) {
    const bytes = Buffer.alloc(16);
    bytes.writeUInt16LE(AF_INET, 0);
    bytes.writeUInt16BE(port, 2);
    address.split(".").forEach((part, i) => {
      bytes[4 + i] = Number(part);
    });
    return bytes;
  }
  if (!isIPv6(address)) throw new TypeError(`not an IP address: ${JSON.stringify(address)}`);
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  expand(address).forEach((group, i) => {
    bytes.writeUInt16BE(group, 8 + 2 * i);
  });
  return bytes;
}

/** @param name what follows sun_family (unix(7)): a path with its NUL, which the longest has beyond sun_path, or an abstract name behind one */
export function encodeUnixAddress(name: Uint8Array): Buffer {
  const family = Buffer.alloc(2);
  family.writeUInt16LE(AF_UNIX, 0);
  return Buffer.concat([family, name.subarray(0, SUN_PATH + 1)]);
}

function dotted(bytes: Buffer, offset: number): string {
  return bytes.subarray(offset, offset + 4).join(".");
}

/** RFC 5952: the longest run of zero groups (two or more) becomes "::". */
function compress(groups: string[]): string {
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.start < 0) return groups.join(":");
  const head = groups.slice(0, best.start).join(":");
  return `${head}::${groups.slice(best.start + best.length).join(":")}`;
}

function expand(address: string): number[] {
  const [literal = ""] = address.split("%"); // a zone names an interface of one machine only
  const dots = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(literal);
  const plain = dots
    ? `${dots[1]}${hexPair(dots[2], dots[3])}:${hexPair(dots[4], dots[5])}`
    : literal;
  const [head = "", tail] = plain.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - left.length - right.length;
  return [...left, ...Array<string>(zeros).fill("0"), ...right].map((group) => parseInt(group, 16));
}

function hexPair(high: string | undefined, low: string | undefined): string {
  return (Number(high) * 256 + Number(low)).toString(16);
}
