/** Bytes of requests that are not shown yet, over all connections: from a limit on they are shown before their end. */
const MAX_KEPT = 32 * 1024 * 1024;

export class Kept {
  #bytes = 0;

  add(bytes: number): void {
    this.#bytes += bytes;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
  }

  get isFull(): boolean {
    return this.#bytes > MAX_KEPT;
  }
}
