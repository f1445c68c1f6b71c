/** Bytes that several may have in memory at a time: a stream's part of its session's, and that of what all have. */
export class Room {
  readonly #mostBytes: number;
  readonly #parent: Room | undefined;
  readonly #waiting = new Set<() => void>();
  #bytes = 0;

  constructor(mostBytes: number, parent?: Room) {
    this.#mostBytes = mostBytes;
    this.#parent = parent;
  }

  /** Whoever asks while nothing is taken gets what he asks for. */
  take(bytes: number): boolean {
    if (this.#bytes > 0 && this.#bytes + bytes > this.#mostBytes) return false;
    if (this.#parent && !this.#parent.take(bytes)) return false;
    this.#bytes += bytes;
    return true;
  }

  /** What is there already, whether or not there is room for it. */
  add(bytes: number): void {
    this.#bytes += bytes;
    this.#parent?.add(bytes);
  }

  give(bytes: number): void {
    this.#bytes -= bytes;
    this.#parent?.give(bytes);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** `wake` is called once, when something is given back here or above. */
  whenGiven(wake: () => void): void {
    this.#waiting.add(wake);
    this.#parent?.whenGiven(wake);
  }

  forget(wake: () => void): void {
    this.#waiting.delete(wake);
    this.#parent?.forget(wake);
  }
}
