/** What is said over the pipes with `inpod-routes hold`: native/routes/frames.h. Pure. */
import { isIPv6 } from "node:net";
import { formatSubnet, parseSubnet } from "./plan/subnets.ts";

export interface Address {
  readonly address: string;
  readonly port: number;
}
export interface Ends {
  readonly source: Address;
  readonly destination: Address;
}
export type FromHelper =
  /** The link between the machine and the namespace, and its addresses. */
  | { readonly kind: "ready"; readonly words: readonly string[] }
  | { readonly kind: "datagram"; readonly ends: Ends; readonly payload: Buffer };

const LENGTH_BYTES = 4;
/** u8 family · 16 bytes, u16 source · 16 bytes, u16 destination */
const ENDS_BYTES = 37;
const MAX_FRAME = 66 * 1024;

const frame = (kind: string, ...parts: readonly Uint8Array[]): Buffer => {
  const head = Buffer.alloc(LENGTH_BYTES + 1);
  head.writeUInt32LE(1 + parts.reduce((sum, { length }) => sum + length, 0));
  head.write(kind, LENGTH_BYTES, "latin1");
  return Buffer.concat([head, ...parts]);
};

/** An answer, from an address of the cluster to a program of this machine. */
export const datagramFrame = (ends: Ends, payload: Uint8Array): Buffer =>
  frame("d", encodeEnds(ends), payload);

/** What the destination had sent to the source was refused there. */
export const unreachableFrame = (ends: Ends): Buffer => frame("u", encodeEnds(ends));

export const guardFrame = (directory: string, path: string): Buffer =>
  frame("g", Buffer.from(`${directory}\0${path}\0`));

function encodeEnds({ source, destination }: Ends): Buffer {
  const bytes = Buffer.alloc(ENDS_BYTES);
  bytes[0] = isIPv6(source.address) ? 6 : 4;
  putAddress(bytes, 1, source);
  putAddress(bytes, 19, destination);
  return bytes;
}

function putAddress(bytes: Buffer, at: number, { address, port }: Address): void {
  const { family, base } = parseSubnet(address) ?? { family: 4 as const, base: 0n };
  const width = family === 4 ? 4 : 16;
  for (let i = 0; i < width; i++)
    bytes[at + i] = Number((base >> BigInt(8 * (width - 1 - i))) & 0xffn);
  bytes.writeUInt16LE(port, at + 16);
}

function addressAt(bytes: Buffer, at: number, family: number): Address {
  const width = family === 6 ? 16 : 4;
  const base = bytes
    .subarray(at, at + width)
    .reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
  const address = formatSubnet({ family: family === 6 ? 6 : 4, base, length: width * 8 });
  return { address, port: bytes.readUInt16LE(at + 16) };
}

/** Cuts what the helper says into frames. */
export class Inbox {
  #pending: Buffer = Buffer.alloc(0);

  /** @throws RangeError for what no helper of ours says */
  *take(chunk: Buffer): Generator<FromHelper> {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    for (;;) {
      if (this.#pending.length < LENGTH_BYTES) return;
      const length = this.#pending.readUInt32LE(0);
      if (length === 0 || length > MAX_FRAME) throw new RangeError("no frame of inpod-routes");
      if (this.#pending.length < LENGTH_BYTES + length) return;
      const body = this.#pending.subarray(LENGTH_BYTES, LENGTH_BYTES + length);
      this.#pending = this.#pending.subarray(LENGTH_BYTES + length);
      const message = decode(body);
      if (message !== undefined) yield message;
    }
  }
}

function decode(body: Buffer): FromHelper | undefined {
  const rest = body.subarray(1);
  switch (body[0]) {
    case 0x72: // r
      return { kind: "ready", words: rest.toString("latin1").split(" ") };
    case 0x64: {
      // d
      if (rest.length < ENDS_BYTES) return undefined;
      const family = rest[0] ?? 4;
      const ends = {
        source: addressAt(rest, 1, family),
        destination: addressAt(rest, 19, family),
      };
      return { kind: "datagram", ends, payload: rest.subarray(ENDS_BYTES) };
    }
    default:
      return undefined;
  }
}
