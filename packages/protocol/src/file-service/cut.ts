import { ProtocolError } from "../frames.ts";

/** Cuts a stream of bytes into messages: u32 length of the rest, little-endian · the rest. */
export class MessageCutter {
  readonly #limit: number;
  readonly #head = new Uint8Array(4);
  #headBytes = 0;
  #message: Uint8Array | undefined;
  #messageBytes = 0;

  /** @param limitBytes of a message without its length */
  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  /** Of the message that is not complete yet: what was kept for it. */
  get keptBytes(): number {
    return this.#message?.length ?? 0;
  }

  /**
   * The messages that are complete now, without their length: copies, or views of `chunk`.
   *
   * @throws ProtocolError for a length that cannot be; nothing after it has a meaning
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, void> {
    for (let at = 0; at < chunk.length; ) {
      if (!this.#message) {
        const used = Math.min(4 - this.#headBytes, chunk.length - at);
        this.#head.set(chunk.subarray(at, at + used), this.#headBytes);
        this.#headBytes += used;
        at += used;
        if (this.#headBytes < 4) return;
        this.#headBytes = 0;
        const length = new DataView(this.#head.buffer).getUint32(0, true);
        if (length < 8 || length > this.#limit)
          throw new ProtocolError(`a message of ${length} bytes about files`);
        if (chunk.length - at >= length) {
          at += length;
          yield chunk.subarray(at - length, at);
          continue;
        }
        this.#message = new Uint8Array(length);
        this.#messageBytes = 0;
      }
      const message: Uint8Array = this.#message;
      const used = Math.min(message.length - this.#messageBytes, chunk.length - at);
      message.set(chunk.subarray(at, at + used), this.#messageBytes);
      this.#messageBytes += used;
      at += used;
      if (this.#messageBytes < message.length) return;
      this.#message = undefined;
      yield message;
    }
  }
}
