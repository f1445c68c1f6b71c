/** Where frames of HTTP/2 begin and end (RFC 9113, section 4.1), in any pieces. Keeps no payload. */

/** u24 length · u8 type · u8 flags · u32 stream */
const HEADER_BYTES = 9;

export interface FrameHeader {
  readonly type: number;
  readonly flags: number;
}

export class FrameCutter {
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerLength = 0;
  /** Of the payload. */
  #left = 0;
  #isKept = false;

  /**
   * @param isKept asked for each frame, as soon as its header is there
   * @returns the frames that are kept, as far as they have come
   */
  push(bytes: Uint8Array, isKept: (header: FrameHeader) => boolean): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let at = 0; at < bytes.length; ) {
      if (this.#left > 0) {
        const end = Math.min(bytes.length, at + this.#left);
        if (this.#isKept) pieces.push(bytes.subarray(at, end));
        this.#left -= end - at;
        at = end;
        continue;
      }
      const end = Math.min(bytes.length, at + HEADER_BYTES - this.#headerLength);
      this.#header.set(bytes.subarray(at, end), this.#headerLength);
      this.#headerLength += end - at;
      at = end;
      if (this.#headerLength < HEADER_BYTES) break;
      const [high = 0, middle = 0, low = 0, type = 0, flags = 0] = this.#header;
      this.#left = (high << 16) | (middle << 8) | low;
      this.#headerLength = 0;
      this.#isKept = isKept({ type, flags });
      if (this.#isKept) pieces.push(this.#header.slice());
    }
    return pieces;
  }
}
