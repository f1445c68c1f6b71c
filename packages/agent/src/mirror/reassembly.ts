/**
 * One direction of one TCP connection, put together from copies of its segments: in any order, repeated, overlapping,
 * across the sequence number's wrap. Pure.
 *
 * A segment that was lost on the way to us only, and not to the target, never comes again: such a hole stays, and
 * whoever owns the stream ends it.
 */

/** Bytes ahead of what was expected next: a larger number is none of this connection's (RFC 7323: 2^30 at most). */
const MAX_AHEAD = 2 ** 30;

export interface ReassemblyLimits {
  /** Bytes that wait behind a hole. */
  readonly pendingBytes: number;
}

interface Piece {
  readonly offset: number;
  readonly bytes: Buffer;
}

export type Progress =
  /** `pieces` continue the stream, in order. `isEnd`: and its FIN is reached. */
  | { readonly kind: "data"; readonly pieces: readonly Buffer[]; readonly isEnd: boolean }
  /** More waits behind a hole than may. */
  | { readonly kind: "full" };

const NOTHING: Progress = { kind: "data", pieces: [], isEnd: false };

export class Reassembly {
  readonly #limits: ReassemblyLimits;
  /** Sequence number of the next byte; its place in the stream, which does not wrap. */
  #sequence: number;
  #offset = 0;
  /** Sorted, none touching another's bytes. */
  #pending: Piece[] = [];
  #pendingBytes = 0;
  #finOffset: number | undefined;

  /** @param initial the SYN's sequence number */
  constructor(initial: number, limits: ReassemblyLimits) {
    this.#sequence = (initial + 1) >>> 0;
    this.#limits = limits;
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Something is known to come later than what is missing. */
  get hasHole(): boolean {
    return this.#pending.length > 0 || this.#finOffset !== undefined;
  }

  /** Where a segment stands, relative to what is expected next. */
  distance(sequence: number): number {
    return (sequence - this.#sequence) | 0;
  }

  /** @param payload is copied if it has to wait */
  segment(sequence: number, payload: Buffer, isFin: boolean): Progress {
    const distance = this.distance(sequence);
    if (distance > MAX_AHEAD || distance < -MAX_AHEAD) return NOTHING;
    const offset = this.#offset + distance;
    // One that is said to lie before what was there already is none.
    if (isFin && offset + payload.length >= this.#offset)
      this.#finOffset ??= offset + payload.length;
    const last = this.#finOffset ?? Number.POSITIVE_INFINITY;
    const usable = offset + payload.length > last ? payload.subarray(0, last - offset) : payload;
    const pieces: Buffer[] = [];
    if (distance <= 0) {
      this.#advance(usable.subarray(Math.min(-distance, usable.length)), pieces);
    } else if (usable.length > 0) {
      this.#keep(offset, usable);
      if (this.#pendingBytes > this.#limits.pendingBytes) return { kind: "full" };
    }
    if (pieces.length === 0 && this.#offset !== this.#finOffset) return NOTHING;
    return { kind: "data", pieces, isEnd: this.#offset === this.#finOffset };
  }

  /** What waits is dropped: its stream has ended. */
  clear(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #advance(bytes: Buffer, pieces: Buffer[]): void {
    if (bytes.length === 0) return;
    this.#deliver(bytes, pieces);
    while (this.#pending.length > 0) {
      const [first] = this.#pending as [Piece];
      if (first.offset > this.#offset) return;
      this.#pending.shift();
      this.#pendingBytes -= first.bytes.length;
      this.#deliver(first.bytes.subarray(this.#offset - first.offset), pieces);
    }
  }

  #deliver(bytes: Buffer, pieces: Buffer[]): void {
    if (bytes.length === 0) return;
    pieces.push(bytes);
    this.#offset += bytes.length;
    this.#sequence = (this.#sequence + bytes.length) >>> 0;
  }

  /** What is there already stays: a repeated byte is the same one, and a forger's comes later. */
  #keep(offset: number, bytes: Buffer): void {
    const end = offset + bytes.length;
    const kept: Piece[] = [];
    let at = offset;
    const add = (until: number): void => {
      if (until <= at) return;
      // A copy: a piece of a chunk would hold all of the chunk.
      kept.push({ offset: at, bytes: Buffer.from(bytes.subarray(at - offset, until - offset)) });
      this.#pendingBytes += until - at;
    };
    let from = this.#pending.length;
    while (from > 0 && endOf(this.#pending[from - 1] as Piece) > offset) from--;
    let to = from;
    for (; to < this.#pending.length; to++) {
      const piece = this.#pending[to] as Piece;
      if (piece.offset >= end) break;
      add(piece.offset);
      kept.push(piece);
      at = Math.max(at, endOf(piece));
    }
    add(end);
    this.#pending.splice(from, to - from, ...kept);
  }
}

const endOf = ({ offset, bytes }: Piece): number => offset + bytes.length;
