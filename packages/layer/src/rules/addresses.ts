/** IP literals as bytes, so that one address has one form. */
import { isIP } from "node:net";
import { ipBytes } from "@inpod/protocol";

export interface IpAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order. An IPv4-mapped IPv6 address (RFC 4291 2.5.5.2) is family 4. */
  readonly bytes: readonly number[];
}

export interface Subnet {
  readonly address: IpAddress;
  readonly prefixLength: number;
}

/** @returns `undefined` for what is no IP literal. A zone (`fe80::1%eth0`) is dropped. */
export function parseAddress(text: string): IpAddress | undefined {
  const literal = text.split("%", 1)[0] ?? "";
  const family = isIP(literal);
  if (family === 0) return undefined;
  const bytes = ipBytes(literal);
  if (family === 4) return { family, bytes };
  return isMapped(bytes) ? { family: 4, bytes: bytes.slice(12) } : { family: 6, bytes };
}

/** `10.0.0.0/8`, `fd00::/8`. Bits beyond the prefix are ignored, as ip(8) and mirrord do. */
export function parseSubnet(text: string): Subnet | undefined {
  const found = /^([^/]+)\/(\d{1,3})$/.exec(text);
  if (found === null || text.includes("%")) return undefined;
  const [, literal = "", length = ""] = found;
  const address = parseAddress(literal);
  if (address === undefined) return undefined;
  const isMappedSubnet = address.family === 4 && literal.includes(":");
  const prefixLength = Number(length) - (isMappedSubnet ? 96 : 0);
  if (prefixLength < 0 || prefixLength > address.bytes.length * 8) return undefined;
  return { address, prefixLength };
}

export function isInSubnet(address: IpAddress, { address: base, prefixLength }: Subnet): boolean {
  if (address.family !== base.family) return false;
  return address.bytes.every((byte, index) => {
    const bits = Math.min(8, Math.max(0, prefixLength - index * 8));
    const mask = (0xff00 >> bits) & 0xff;
    return (byte & mask) === ((base.bytes[index] ?? 0) & mask);
  });
}

export const isSameAddress = (a: IpAddress, b: IpAddress): boolean =>
  a.family === b.family && a.bytes.every((byte, index) => byte === b.bytes[index]);

/** 127.0.0.0/8, ::1, and 0.0.0.0 and :: which connect(2) takes for them. */
export function isLoopback({ family, bytes }: IpAddress): boolean {
  if (bytes.every((byte) => byte === 0)) return true;
  if (family === 4) return bytes[0] === 127;
  return bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1;
}

/** 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291) and 255.255.255.255. */
export function isMulticastOrBroadcast({ family, bytes }: IpAddress): boolean {
  const first = bytes[0] ?? 0;
  if (family === 6) return first === 0xff;
  return (first >= 224 && first <= 239) || bytes.every((byte) => byte === 255);
}

/** fe80::/10: it means an interface of this machine. (169.254.0.0/16 may be a metadata service.) */
export const isIpv6LinkLocal = ({ family, bytes }: IpAddress): boolean =>
  family === 6 && bytes[0] === 0xfe && ((bytes[1] ?? 0) & 0xc0) === 0x80;

const isMapped = (bytes: readonly number[]): boolean =>
  bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
