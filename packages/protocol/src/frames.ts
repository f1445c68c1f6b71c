/**
 * The tunnel's frames. All numbers are big-endian.
 *
 *   type u8 · length of the payload u24 · stream or request id u32 · payload
 */
export const HEADER_BYTES = 8;

export const FrameType = {
  hello: 1, // id 0 · JSON AgentHello or SessionHello
  open: 2, // JSON StreamHeader
  opened: 3, // JSON StreamOpened
  data: 4, // bytes
  fin: 5, // empty: no more data this way
  reset: 6, // JSON WireError: nothing more either way
  credit: 7, // u32 bytes that may be sent beyond what was granted before
  ping: 8, // id 0 · 8 bytes of the sender's choice
  pong: 9, // id 0 · the ping's bytes
  datagram: 10, // bytes of one datagram
  request: 11, // id: the request's own · JSON {method, params}
  response: 12, // id: the request's · JSON {result} or {error: WireError}
  notice: 13, // id 0 · JSON AgentNotice
  goaway: 14, // id 0 · JSON WireError: the sender is about to close
} as const;

/** Unknown types from here on may be skipped by who does not know them; unknown ones below are an error. */
export const FIRST_IGNORABLE_TYPE = 0x80;

/** Bytes of payload. */
export const MAX_DATA = 64 * 1024;
export const MAX_CONTROL = 64 * 1024;
/** `describe` carries an environment of up to 1 MiB, which JSON may double and escape. */
export const MAX_RESPONSE = 8 * 1024 * 1024;
export const MAX_HELLO = 4 * 1024;

/** The other end broke the protocol. The tunnel cannot go on. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

export function maxPayload(type: number): number {
  switch (type) {
    case FrameType.hello:
      return MAX_HELLO;
    case FrameType.data:
    case FrameType.datagram:
      return MAX_DATA;
    case FrameType.response:
      return MAX_RESPONSE;
    default:
      return MAX_CONTROL;
  }
}

/** @throws RangeError for a payload beyond the type's limit: our own mistake, not the peer's */
export function encodeHeader(into: Uint8Array, type: number, length: number, id: number): void {
  if (length > maxPayload(type)) throw new RangeError(`frame ${type} of ${length} bytes`);
  into[0] = type;
  into[1] = length >>> 16;
  into[2] = length >>> 8;
  into[3] = length;
  into[4] = id >>> 24;
  into[5] = id >>> 16;
  into[6] = id >>> 8;
  into[7] = id;
}

export function encodeFrame(type: number, id: number, payload: Uint8Array): Uint8Array {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  encodeHeader(frame, type, payload.length, id);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function encodeJson(type: number, id: number, value: unknown): Uint8Array {
  return encodeFrame(type, id, encoder.encode(JSON.stringify(value)));
}

/** @throws ProtocolError */
export function decodeJson(payload: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(payload));
  } catch {
    throw new ProtocolError("a frame's payload is not JSON");
  }
}

export interface FrameHeader {
  readonly type: number;
  readonly length: number;
  readonly id: number;
}

/** @param bytes at least HEADER_BYTES. @throws ProtocolError for a payload beyond its type's limit */
export function decodeHeader(bytes: Uint8Array, at: number): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, HEADER_BYTES);
  const word = view.getUint32(0);
  const header = { type: word >>> 24, length: word & 0xff_ffff, id: view.getUint32(4) };
  if (header.length > maxPayload(header.type)) {
    throw new ProtocolError(`a frame of type ${header.type} with ${header.length} bytes`);
  }
  return header;
}
