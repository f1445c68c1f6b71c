/** The first message of a TLS connection (RFC 8446, section 4.1.2): whom the client means, and what it can speak inside. */
import { latin1, Unread } from "../bytes.ts";

export interface ClientHello {
  /** In lower case; undefined: the client has not said one, or an address, which is none (RFC 6066, section 3). */
  readonly serverName: string | undefined;
  /** In the client's order; each is bytes, as Latin-1. */
  readonly alpn: readonly string[];
  /** The newest version that it offers: 0x0303 is TLS 1.2. */
  readonly newestVersion: number;
}

export type HelloReading =
  | { readonly kind: "hello"; readonly hello: ClientHello }
  | { readonly kind: "need-more" }
  | { readonly kind: "no-hello"; readonly why: string };

/** Bytes of the message; keys of post-quantum algorithms make it some 2 KiB. OpenSSL's own limit is 128 KiB. */
const MAX_HELLO = 32 * 1024;
/** Each with a header of five bytes: a client that sends tiny ones must not cost more than others. */
const MAX_RECORDS = 32;
const RECORD_HEADER = 5;
const MAX_RECORD = 1 << 14;
const MESSAGE_HEADER = 4;

const Extension = { serverName: 0, alpn: 16, supportedVersions: 43 } as const;

class NoHello extends Error {}

/** Takes the client's bytes from the start of the connection, in any pieces. */
export class HelloReader {
  readonly #held = new Unread();
  /** Below it another look finds nothing new. */
  #needed = RECORD_HEADER;
  #read: HelloReading | undefined;

  /** @returns the same for ever once it is not `need-more`; bytes that follow the message are not looked at */
  push(bytes: Uint8Array): HelloReading {
    if (this.#read) return this.#read;
    this.#held.append(bytes);
    if (this.#held.length < this.#needed) return { kind: "need-more" };
    try {
      const message = this.#message();
      if (message === undefined) return { kind: "need-more" };
      this.#read = { kind: "hello", hello: parseHello(new Fields(message)) };
    } catch (error) {
      if (!(error instanceof NoHello)) throw error;
      this.#read = { kind: "no-hello", why: error.message };
    }
    this.#held.consume();
    return this.#read;
  }

  /** Out of its records, without its header; undefined: there is more to come. */
  #message(): Uint8Array | undefined {
    const bytes = this.#held.view();
    const parts: Uint8Array[] = [];
    let length = 0;
    for (let at = 0; ; ) {
      if (parts.length === MAX_RECORDS) throw new NoHello("a ClientHello in too many records");
      if (bytes.length < at + RECORD_HEADER) {
        this.#needed = at + RECORD_HEADER;
        return undefined;
      }
      const recordLength = u16(bytes, at + 3);
      if (bytes[at] !== 0x16 || bytes[at + 1] !== 3) throw new NoHello("no handshake record");
      if (recordLength === 0 || recordLength > MAX_RECORD)
        throw new NoHello("no length of a record");
      const end = at + RECORD_HEADER + recordLength;
      if (bytes.length < end) {
        this.#needed = end;
        return undefined;
      }
      parts.push(bytes.subarray(at + RECORD_HEADER, end));
      length += recordLength;
      at = end;
      if (length < MESSAGE_HEADER) continue;
      const message = parts.length === 1 ? (parts[0] as Uint8Array) : joined(parts, length);
      if (message[0] !== 1) throw new NoHello("no ClientHello");
      const messageLength = ((message[1] as number) << 16) | u16(message, 2);
      if (messageLength > MAX_HELLO) throw new NoHello("a ClientHello that is too long");
      if (length >= MESSAGE_HEADER + messageLength)
        return message.subarray(MESSAGE_HEADER, MESSAGE_HEADER + messageLength);
    }
  }
}

/** What stands in a message, from its start; beyond its end there is nothing. */
class Fields {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isEmpty(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(length: number): Uint8Array {
    if (this.#at + length > this.#bytes.length) throw new NoHello("a ClientHello with a hole");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  number(size: 1 | 2): number {
    const bytes = this.take(size);
    return size === 1 ? (bytes[0] as number) : u16(bytes, 0);
  }

  /** A length of `size` bytes, and so many bytes. */
  vector(size: 1 | 2): Uint8Array {
    return this.take(this.number(size));
  }
}

function parseHello(fields: Fields): ClientHello {
  let newestVersion = fields.number(2);
  fields.take(32); // random
  if (fields.vector(1).length > 32) throw new NoHello("a session id that is too long");
  const suites = fields.vector(2);
  if (suites.length === 0 || suites.length % 2 !== 0) throw new NoHello("no cipher suites");
  if (fields.vector(1).length === 0) throw new NoHello("no compression methods");
  let serverName: string | undefined;
  let alpn: string[] = [];
  const extensions = new Fields(fields.isEmpty ? new Uint8Array(0) : fields.vector(2));
  if (!fields.isEmpty) throw new NoHello("bytes after a ClientHello's end");
  const seen = new Set<number>();
  while (!extensions.isEmpty) {
    const type = extensions.number(2);
    const content = new Fields(extensions.vector(2));
    if (seen.has(type)) throw new NoHello("an extension twice");
    seen.add(type);
    if (type === Extension.serverName) serverName = serverNameOf(content);
    else if (type === Extension.alpn) alpn = protocolsOf(content);
    else if (type === Extension.supportedVersions) newestVersion = newestOf(content);
  }
  return { serverName, alpn, newestVersion };
}

function serverNameOf(content: Fields): string | undefined {
  const names = whole(content, 2);
  let found: string | undefined;
  while (!names.isEmpty) {
    const isHost = names.number(1) === 0;
    const name = latin1(names.vector(2));
    if (!isHost) continue;
    if (found !== undefined) throw new NoHello("two server names");
    if (!/^[\w.:-]{1,255}$/.test(name)) throw new NoHello("a server name that is none");
    found = name.toLowerCase();
  }
  return found === undefined || /^[\d.]*$|:/.test(found) ? undefined : found;
}

function protocolsOf(content: Fields): string[] {
  const list = whole(content, 2);
  const protocols: string[] = [];
  while (!list.isEmpty) {
    const protocol = list.vector(1);
    if (protocol.length === 0) throw new NoHello("a protocol without a name");
    protocols.push(latin1(protocol));
  }
  return protocols;
}

/** Values that stand for nothing (GREASE, RFC 8701: 0x0a0a, 0x1a1a, …) are left out. */
function newestOf(content: Fields): number {
  const versions = whole(content, 1);
  let newest = 0;
  while (!versions.isEmpty) {
    const version = versions.number(2);
    if ((version & 0x0f0f) !== 0x0a0a && version > newest) newest = version;
  }
  return newest;
}

/** A vector that is all there is. */
function whole(content: Fields, size: 1 | 2): Fields {
  const inner = new Fields(content.vector(size));
  if (!content.isEmpty) throw new NoHello("bytes after an extension's end");
  return inner;
}

const u16 = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] as number) << 8) | (bytes[at + 1] as number);

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
