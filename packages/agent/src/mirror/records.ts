/** What the reader of packets says; the layout is in ../../native/enter/reader.h. Pure. */
import { Failure } from "../failure.ts";

const PACKET = 1;
const LOST = 2;
const HEADER_BYTES = 8;
const CHECKSUM_UNKNOWN = 1;
/** Bytes: a ring's block, and no packet is longer. */
const MAX_RECORD = 1024 * 1024 + HEADER_BYTES;

export interface RecordHandlers {
  /** From the IP header on. The bytes are the reader's: what is kept of them is copied. */
  onPacket(packet: Buffer, isChecked: boolean): void;
  /** So many packets found no room, somewhere between the ones before and the next. */
  onLost(count: number): void;
}

/** Cuts the byte stream into records. */
export class RecordReader {
  readonly #handlers: RecordHandlers;
  #chunks: Buffer[] = [];
  #length = 0;

  constructor(handlers: RecordHandlers) {
    this.#handlers = handlers;
  }

  /** @throws Failure EPROTO for what the reader cannot have said */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    // A large packet comes in many chunks: joined once, when it is complete.
    if (this.#chunks.length > 1 && this.#length < this.#wanted()) return;
    let all = this.#joined();
    while (all.length >= HEADER_BYTES && all.length >= 4 + all.readUInt32LE(0)) {
      const end = 4 + all.readUInt32LE(0);
      this.#take(all.subarray(0, end));
      all = all.subarray(end);
    }
    this.#wanted();
    this.#chunks = all.length === 0 ? [] : [all];
    this.#length = all.length;
  }

  /** Of the record that has begun; throws for one that cannot be. */
  #wanted(): number {
    if (this.#length < HEADER_BYTES) return HEADER_BYTES;
    if ((this.#chunks[0]?.length ?? 0) < HEADER_BYTES) this.#chunks = [this.#joined()];
    return 4 + lengthOf(this.#chunks[0] as Buffer);
  }

  #joined(): Buffer {
    return this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
  }

  #take(record: Buffer): void {
    lengthOf(record);
    const payload = record.subarray(HEADER_BYTES);
    switch (record.readUInt8(4)) {
      case PACKET:
        this.#handlers.onPacket(payload, (record.readUInt8(5) & CHECKSUM_UNKNOWN) === 0);
        return;
      case LOST:
        if (payload.length !== 4) break;
        this.#handlers.onLost(payload.readUInt32LE(0));
        return;
    }
    throw new Failure("EPROTO", "no record of the reader of packets");
  }
}

function lengthOf(record: Buffer): number {
  const rest = record.readUInt32LE(0);
  if (rest >= HEADER_BYTES - 4 && rest <= MAX_RECORD) return rest;
  throw new Failure("EPROTO", `a record of ${rest} bytes`);
}
