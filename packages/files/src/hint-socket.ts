/**
 * How the tap says a whole path before it is looked up: u32 id · path, one message each, and the answer is the id, when
 * the path is known or nothing more can be done for it.
 */
import type { Native } from "./native.ts";
import type { Hints } from "./tree/hints.ts";

const MAX_MESSAGE = 4 + 4096;
const SLAB_BYTES = 16 * (MAX_MESSAGE + 16);
/** After that the tap does not wait any more. */
const WITHIN_MS = 1900;

export class HintSocket {
  readonly #native: Native;
  readonly #hints: Hints;
  readonly #fd: number;
  readonly tapFd: number;

  constructor(native: Native, hints: Hints) {
    this.#native = native;
    this.#hints = hints;
    const pair = native.socketPair(true);
    if (typeof pair === "number") throw new Error(`no socket for hints: ${pair}`);
    [this.#fd, this.tapFd] = pair;
    const slab = Buffer.alloc(SLAB_BYTES);
    const receiver = native.receive(this.#fd, slab, MAX_MESSAGE, (bytes) => {
      for (let at = 0; at < bytes; ) {
        const length = slab.readUInt32LE(at);
        this.#take(slab.subarray(at + 8, at + 8 + length));
        at += 8 + ((length + 7) & ~7);
      }
    });
    if (typeof receiver === "number") throw new Error(`hints cannot be polled: ${receiver}`);
  }

  #take(message: Buffer): void {
    if (message.length < 5) return;
    const id = Buffer.from(message.subarray(0, 4));
    const path = message.toString("latin1", 4);
    let timer: NodeJS.Timeout | undefined;
    const done = () => {
      if (timer === undefined) return;
      clearTimeout(timer);
      timer = undefined;
      // Who does not read the answers does without.
      this.#native.write(this.#fd, id, 4);
    };
    timer = setTimeout(done, WITHIN_MS);
    if (path.startsWith("/") && !path.includes("\0")) this.#hints.warm(path).then(done, done);
    else done();
  }
}
