/**
 * What of a file is on its way, or has come and nobody has asked for yet. The kernel keeps what was read; here a part
 * lives until it was passed.
 */
import { MAX_TRANSFER } from "@inpod/protocol";

interface Extent {
  readonly start: number;
  readonly length: number;
  readonly bytes: Promise<Uint8Array>;
}

/** Parts ahead of a sequential reader; doubled with each read. */
const FIRST_DEPTH = 1;
const MAX_DEPTH = 8;
const LEAST_PART = 128 * 1024;
const FAST_MS = 500;
const SLOW_MS = 2000;

/**
 * How much may be under way in all: so much that a slow link answers each request in time, and a fast one is full.
 * It grows while answers come fast, and shrinks when one is late.
 */
export class Pace {
  readonly #limitBytes: number;
  #windowBytes = 2 * MAX_TRANSFER;
  /** Asked for, and not yet passed by its reader. */
  heldBytes = 0;
  #underWayBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  get partBytes(): number {
    return Math.min(MAX_TRANSFER, Math.max(LEAST_PART, this.#windowBytes / 2));
  }

  hasRoom(bytes: number): boolean {
    return (
      this.heldBytes + bytes <= this.#limitBytes &&
      (this.#underWayBytes === 0 || this.#underWayBytes + bytes <= this.#windowBytes)
    );
  }

  async timed(bytes: number, ask: () => Promise<Uint8Array>): Promise<Uint8Array> {
    this.#underWayBytes += bytes;
    const sinceMs = performance.now();
    try {
      return await ask();
    } finally {
      this.#underWayBytes -= bytes;
      const tookMs = performance.now() - sinceMs;
      if (tookMs > SLOW_MS) this.#windowBytes = Math.max(2 * LEAST_PART, this.#windowBytes / 2);
      else if (tookMs < FAST_MS)
        this.#windowBytes = Math.min(this.#limitBytes, this.#windowBytes + bytes);
    }
  }
}

export class ReadAhead {
  readonly #pace: Pace;
  readonly #fetch: (offset: number, size: number) => Promise<Uint8Array>;
  readonly #extents = new Set<Extent>();
  #version = "";
  /** Where the last read ended: one from there on is sequential. */
  #expected = 0;
  #depth = FIRST_DEPTH;

  /** @param fetch asks for a part; shorter than asked is the end of the file */
  constructor(pace: Pace, fetch: (offset: number, size: number) => Promise<Uint8Array>) {
    this.#pace = pace;
    this.#fetch = fetch;
  }

  /** Nothing that was fetched counts. */
  clear(): void {
    for (const extent of this.#extents) this.#drop(extent);
  }

  #drop(extent: Extent): void {
    if (this.#extents.delete(extent)) this.#pace.heldBytes -= extent.length;
  }

  /**
   * @param fileBytes the size of the file, as far as it is known
   * @param version of the content: what was fetched of another one is dropped
   * @returns fewer bytes than `size` at the end of the file only
   */
  async read(
    offset: number,
    size: number,
    fileBytes: number,
    version: string,
  ): Promise<Uint8Array> {
    if (version !== this.#version) this.clear();
    this.#version = version;
    // The kernel reads ahead too, so that what it asks for comes in any order; but never far behind.
    const isSequential = offset >= this.#expected - MAX_TRANSFER && offset <= this.#expected;
    this.#expected = isSequential ? Math.max(this.#expected, offset + size) : offset + size;
    this.#depth = isSequential ? Math.min(MAX_DEPTH, this.#depth * 2) : FIRST_DEPTH;
    const parts = this.#cover(offset, size, fileBytes, isSequential);
    if (isSequential) this.#fetchAhead(this.#expected, fileBytes);
    const whole = assemble(offset, size, await Promise.all(parts.map(arrived)));
    for (const extent of this.#extents) {
      if (extent.start + extent.length <= this.#expected - MAX_TRANSFER) this.#drop(extent);
    }
    return whole;
  }

  /** The parts that hold [offset, offset + size), asked for where they are not. */
  #cover(offset: number, size: number, fileBytes: number, isSequential: boolean): Extent[] {
    const end = offset + size;
    const parts: Extent[] = [];
    for (let at = offset; at < end; ) {
      let next = Number.POSITIVE_INFINITY;
      let found: Extent | undefined;
      for (const extent of this.#extents) {
        if (extent.start <= at && at < extent.start + extent.length) found = extent;
        else if (extent.start > at) next = Math.min(next, extent.start);
      }
      const wanted = isSequential
        ? Math.max(end - at, Math.min(this.#pace.partBytes, fileBytes - at))
        : end - at;
      found ??= this.#ask(at, Math.min(wanted, next - at, MAX_TRANSFER));
      parts.push(found);
      at = found.start + found.length;
    }
    return parts;
  }

  #fetchAhead(from: number, fileBytes: number): void {
    let at = from;
    for (const { start, length } of this.#extents) at = Math.max(at, start + length);
    const limit = from + this.#depth * this.#pace.partBytes;
    while (at < fileBytes && at < limit) {
      const length = Math.min(this.#pace.partBytes, fileBytes - at);
      if (!this.#pace.hasRoom(length)) return;
      this.#ask(at, length);
      at += length;
    }
  }

  #ask(start: number, length: number): Extent {
    const bytes = this.#pace.timed(length, () => this.#fetch(start, length));
    const extent: Extent = { start, length, bytes };
    this.#extents.add(extent);
    this.#pace.heldBytes += length;
    // Who waits is told. A part that failed is asked for again by the next one.
    bytes.catch(() => this.#drop(extent));
    return extent;
  }
}

interface Arrived {
  readonly start: number;
  readonly length: number;
  readonly bytes: Uint8Array;
}

async function arrived({ start, length, bytes }: Extent): Promise<Arrived> {
  return { start, length, bytes: await bytes };
}

function assemble(offset: number, size: number, parts: readonly Arrived[]): Uint8Array {
  const [first] = parts;
  if (parts.length === 1 && first) {
    return first.bytes.subarray(offset - first.start, offset - first.start + size);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    const from = offset + at - part.start;
    const bytes = part.bytes.subarray(from, from + size - at);
    whole.set(bytes, at);
    at += bytes.length;
    // The file has ended there.
    if (part.bytes.length < part.length) break;
  }
  return whole.subarray(0, at);
}
