/**
 * What the other end may still send of DATA, on a stream and on all of them: paid back when whoever got it has passed
 * it on. A stream that passes on all that it gets is given more at a time.
 */
import { CODE, ConnectionError, FRAME, type FrameWriter } from "./frames.ts";
import { INITIAL_WINDOW } from "./settings.ts";
import type { Stream } from "./stream.ts";

/** Bytes of all DATA on a connection that nobody has passed on yet. */
const CONNECTION_WINDOW = 8 * 1024 * 1024;
/** Of one stream at first, */
export const STREAM_WINDOW = 128 * 1024;
/** and of one that always passes on what it gets. */
const LARGEST_STREAM_WINDOW = 1024 * 1024;
/** Above that much DATA that waits no stream's window grows. */
const MAX_WAITING_TO_GROW = 1024 * 1024;

export class ReceiveWindows {
  readonly #writer: FrameWriter;
  /** DATA of all streams that we still take. */
  #left = CONNECTION_WINDOW;
  #consumed = 0;

  constructor(writer: FrameWriter) {
    this.#writer = writer;
  }

  /** Once: a connection begins with less. */
  open(): void {
    this.#writer.frame32(FRAME.windowUpdate, 0, CONNECTION_WINDOW - INITIAL_WINDOW);
  }

  /** @throws ConnectionError when it is more than all streams may send */
  arrived(bytes: number): void {
    this.#left -= bytes;
    if (this.#left < 0) {
      throw new ConnectionError(CODE.flowControl, "more DATA than the connection allows");
    }
  }

  /** DATA of no stream that still wants any. */
  consumeOfNone(bytes: number): void {
    this.#consumed += bytes;
    if (this.#consumed < CONNECTION_WINDOW / 4) return;
    this.#writer.frame32(FRAME.windowUpdate, 0, this.#consumed);
    this.#left += this.#consumed;
    this.#consumed = 0;
  }

  consume(stream: Stream<unknown>, bytes: number): void {
    if (bytes === 0) return;
    this.consumeOfNone(bytes);
    if (stream.isClosed || stream.isRemoteEnded) return;
    stream.consumed += bytes;
    stream.passed += bytes;
    if (stream.passed >= stream.fullWindow && stream.fullWindow < LARGEST_STREAM_WINDOW) {
      stream.passed = 0;
      if (CONNECTION_WINDOW - this.#left - this.#consumed < MAX_WAITING_TO_GROW) {
        stream.consumed += stream.fullWindow;
        stream.fullWindow *= 2;
      }
    }
    if (stream.consumed < stream.fullWindow / 4) return;
    this.#writer.frame32(FRAME.windowUpdate, stream.id, stream.consumed);
    stream.receiveWindow += stream.consumed;
    stream.consumed = 0;
  }
}
