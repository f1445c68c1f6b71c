/**
 * The agent's own connections to the target's ports, known by their source. The user's program has made them: their
 * copies would come to the program again, and might make it connect once more, for ever.
 */
import type { Endpoint } from "@inpod/protocol";

/** What is captured reaches us a little later than what our own sockets tell. */
const LINGER_MS = 5000;

const keyOf = ({ address, port }: Endpoint): string => `${address} ${port}`;

export class OwnEnds {
  readonly #ends = new Map<string, number>();

  /** From before its first byte is sent. */
  add(end: Endpoint): void {
    const key = keyOf(end);
    this.#ends.set(key, (this.#ends.get(key) ?? 0) + 1);
  }

  remove(end: Endpoint): void {
    const key = keyOf(end);
    setTimeout(() => {
      const left = (this.#ends.get(key) ?? 1) - 1;
      if (left > 0) this.#ends.set(key, left);
      else this.#ends.delete(key);
    }, LINGER_MS).unref();
  }

  has(end: Endpoint): boolean {
    return this.#ends.has(keyOf(end));
  }
}
