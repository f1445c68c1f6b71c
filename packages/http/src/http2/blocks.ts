/** Blocks of header fields, which come in HEADERS and CONTINUATION with nothing in between (RFC 9113, 4.3). */
import { Unread } from "../bytes.ts";
import { CODE, ConnectionError, FLAG, FRAME } from "./frames.ts";

export interface HeaderBlock {
  readonly streamId: number;
  readonly bytes: Uint8Array;
  readonly isEnd: boolean;
}

/** Of one block: each may be empty, and costs all the same. */
const MAX_CONTINUATIONS = 64;

export class HeaderBlocks {
  readonly #limitBytes: number;
  #open: { readonly streamId: number; readonly isEnd: boolean; readonly bytes: Unread } | undefined;
  #continuations = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * To be called with every frame.
   *
   * @returns a whole block; "more": it goes on; undefined: it is none of this frame's business
   * @throws ConnectionError
   */
  frame(
    type: number,
    flags: number,
    streamId: number,
    payload: Uint8Array,
  ): HeaderBlock | "more" | undefined {
    const isLast = (flags & FLAG.endHeaders) !== 0;
    const open = this.#open;
    if (open !== undefined) {
      if (type !== FRAME.continuation || streamId !== open.streamId) {
        throw new ConnectionError(CODE.protocol, "a frame inside a header block");
      }
      this.#continuations += 1;
      if (
        this.#continuations > MAX_CONTINUATIONS ||
        open.bytes.length + payload.length > this.#limitBytes
      ) {
        throw new ConnectionError(CODE.calm, "a header block that is too long");
      }
      open.bytes.append(payload);
      if (!isLast) return "more";
      this.#open = undefined;
      return { streamId, bytes: open.bytes.view(), isEnd: open.isEnd };
    }
    if (type === FRAME.continuation) {
      throw new ConnectionError(CODE.protocol, "CONTINUATION without HEADERS");
    }
    if (type !== FRAME.headers) return undefined;
    if (streamId === 0) throw new ConnectionError(CODE.protocol, "HEADERS of no stream");
    const isEnd = (flags & FLAG.endStream) !== 0;
    const fragment = withoutPadding(flags, payload);
    if (isLast) return { streamId, bytes: fragment, isEnd };
    const bytes = new Unread();
    bytes.append(fragment);
    this.#open = { streamId, isEnd, bytes };
    this.#continuations = 0;
    return "more";
  }
}

/** Also without the priority that was in RFC 7540. */
function withoutPadding(flags: number, payload: Uint8Array): Uint8Array {
  let from = 0;
  let end = payload.length;
  if ((flags & FLAG.padded) !== 0) {
    from = 1;
    end -= payload[0] ?? 0;
  }
  if ((flags & FLAG.priority) !== 0) from += 5;
  if (from > end) throw new ConnectionError(CODE.protocol, "too much padding");
  return payload.subarray(from, end);
}
