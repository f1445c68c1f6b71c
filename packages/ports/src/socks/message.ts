/**
 * SOCKS5 (RFC 1928), the server's end, without sockets. Of methods there is "no authentication", of commands CONNECT
 * and UDP ASSOCIATE, and datagrams that are fragments are none.
 */
import { isIP } from "node:net";
import { ipBytes } from "@inpod/protocol";
import type { Destination } from "../reach.ts";

export const SOCKS_VERSION = 5;
const METHOD = { none: 0x00, noneAcceptable: 0xff } as const;
const COMMAND = { connect: 0x01, udpAssociate: 0x03 } as const;
const ADDRESS_TYPE = { ipv4: 1, name: 3, ipv6: 4 } as const;
const REPLY = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  hostUnreachable: 4,
  refused: 5,
  expired: 6,
  noCommand: 7,
  noAddressType: 8,
} as const;

/** Bytes before the request is whole: 257 of a greeting, 262 of a request. */
const MAX_HANDSHAKE = 257 + 262;

export type SocksEvent =
  /** To be sent; the handshake goes on. */
  | { readonly kind: "reply"; readonly bytes: Uint8Array }
  | {
      readonly kind: "request";
      readonly command: "connect" | "udp";
      readonly to: Destination;
      /** What came behind it is the connection's. */
      readonly rest: Uint8Array;
    }
  /** To be sent, if there is something; then the connection ends. */
  | { readonly kind: "refused"; readonly bytes: Uint8Array; readonly why: string };

/** One client's, from its first byte on. */
export class SocksHandshake {
  #pending: Uint8Array = new Uint8Array();
  #hasGreeted = false;
  #isOver = false;

  /** Nothing after a request or a refusal. */
  take(bytes: Uint8Array): SocksEvent[] {
    if (this.#isOver) return [];
    this.#pending = concat(this.#pending, bytes);
    const events: SocksEvent[] = [];
    if (!this.#hasGreeted) {
      const greeting = this.#greeting();
      if (greeting !== undefined) events.push(greeting);
    }
    if (this.#hasGreeted && !this.#isOver) {
      const request = this.#request();
      if (request !== undefined) events.push(request);
    }
    this.#isOver ||= events.some(({ kind }) => kind !== "reply");
    return events;
  }

  /** u8 version · u8 number of methods · methods */
  #greeting(): SocksEvent | undefined {
    const [version, count] = this.#pending;
    if (version === undefined) return undefined;
    if (version !== SOCKS_VERSION) return refused("not SOCKS5", new Uint8Array());
    if (count === undefined || this.#pending.length < 2 + count) return undefined;
    const methods = this.#pending.subarray(2, 2 + count);
    this.#pending = this.#pending.subarray(2 + count);
    if (!methods.includes(METHOD.none))
      return refused(
        "a client that insists on authentication",
        Uint8Array.of(SOCKS_VERSION, METHOD.noneAcceptable),
      );
    this.#hasGreeted = true;
    return { kind: "reply", bytes: Uint8Array.of(SOCKS_VERSION, METHOD.none) };
  }

  /** u8 version · u8 command · u8 0 · address */
  #request(): SocksEvent | undefined {
    const [version, command] = this.#pending;
    if (version === undefined) return undefined;
    if (version !== SOCKS_VERSION) return refused("not a request of SOCKS5", new Uint8Array());
    const address = readAddress(this.#pending, 3);
    if (address === "need-more")
      return this.#pending.length > MAX_HANDSHAKE
        ? refused("a request without end", new Uint8Array())
        : undefined;
    if (address === "unknown type")
      return refused("an unknown type of address", reply("noAddressType"));
    if (address === "invalid") return refused("not a name or address", reply("failure"));
    const { to, end } = address;
    const rest = this.#pending.subarray(end);
    if (command === COMMAND.connect) {
      if (to.port === 0) return refused("port 0", reply("failure"));
      return { kind: "request", command: "connect", to, rest };
    }
    if (command === COMMAND.udpAssociate) return { kind: "request", command: "udp", to, rest };
    return refused("neither CONNECT nor UDP ASSOCIATE", reply("noCommand"));
  }
}

const refused = (why: string, bytes: Uint8Array): SocksEvent => ({ kind: "refused", bytes, why });

type Read =
  | "need-more"
  | "unknown type"
  | "invalid"
  | { readonly to: Destination; readonly end: number };

/** u8 type · 4 bytes, 16 bytes or u8 length and a name · u16 port */
function readAddress(bytes: Uint8Array, start: number): Read {
  const type = bytes[start];
  if (type === undefined) return "need-more";
  let from = start + 1;
  let length: number;
  if (type === ADDRESS_TYPE.ipv4) length = 4;
  else if (type === ADDRESS_TYPE.ipv6) length = 16;
  else if (type === ADDRESS_TYPE.name) {
    const said = bytes[from];
    if (said === undefined) return "need-more";
    length = said;
    from += 1;
  } else return "unknown type";
  const end = from + length + 2;
  if (bytes.length < end) return "need-more";
  const value = bytes.subarray(from, from + length);
  const host = type === ADDRESS_TYPE.name ? readName(value) : ipText(value);
  if (host === undefined) return "invalid";
  const port = ((bytes[end - 2] as number) << 8) | (bytes[end - 1] as number);
  return { to: { host, port }, end };
}

/** Clients put what the user wrote there: names, and addresses as text, IPv6 with brackets, too. */
function readName(bytes: Uint8Array): string | undefined {
  const text = String.fromCharCode(...bytes);
  const literal = /^\[(.+)\]$/.exec(text)?.[1] ?? text;
  if (isIP(literal) !== 0) return literal;
  return /^[a-z0-9_.-]{1,253}$/i.test(text) ? text : undefined;
}

/** An IPv4 address that is written as IPv6 (RFC 4291, 2.5.5.2) is one of IPv4. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".");
  const isMapped =
    bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (isMapped) return bytes.subarray(12).join(".");
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] as number) << 8) | (bytes[2 * at + 1] as number)).toString(16),
  );
  return groups.join(":");
}

/** Of what stands at our end: an IP literal. */
function addressBytes({ host, port }: Destination): number[] {
  const type = host.includes(":") ? ADDRESS_TYPE.ipv6 : ADDRESS_TYPE.ipv4;
  return [type, ...ipBytes(host), port >> 8, port & 0xff];
}

const ANY: Destination = { host: "0.0.0.0", port: 0 };

/** u8 version · u8 reply · u8 0 · address @param bound the address that stands for the client there */
function reply(code: keyof typeof REPLY, bound: Destination = ANY): Uint8Array {
  return Uint8Array.from([SOCKS_VERSION, REPLY[code], 0, ...addressBytes(bound)]);
}

export const succeeded = (bound: Destination): Uint8Array => reply("succeeded", bound);

const REPLY_OF: ReadonlyMap<string, keyof typeof REPLY> = new Map([
  ["ECONNREFUSED", "refused"],
  ["ENETUNREACH", "networkUnreachable"],
  ["EHOSTUNREACH", "hostUnreachable"],
  // There is no such name, or nobody can be asked for it.
  ["ENOENT", "hostUnreachable"],
  ["EAGAIN", "hostUnreachable"],
  ["ETIMEDOUT", "expired"],
  ["EPERM", "notAllowed"],
  ["EACCES", "notAllowed"],
]);

/** @param errno of connect(2) in the target, or of looking up the name */
export const failed = (errno: string): Uint8Array => reply(REPLY_OF.get(errno) ?? "failure");

/** u16 0 · u8 fragment · address · data. Undefined: it is none, or a fragment, which may be dropped (section 7). */
export function readDatagram(
  bytes: Uint8Array,
): { readonly to: Destination; readonly payload: Uint8Array } | undefined {
  if (bytes[2] !== 0) return undefined;
  const address = readAddress(bytes, 3);
  if (typeof address === "string" || address.to.port === 0) return undefined;
  return { to: address.to, payload: bytes.subarray(address.end) };
}

/** @param from an IP literal and a port */
export const datagram = (from: Destination, payload: Uint8Array): Uint8Array =>
  concat(Uint8Array.from([0, 0, 0, ...addressBytes(from)]), payload);

function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
