/** Bytes of memory that several users share. Who wants more than is free waits for the others, in order. */
export class Budget {
  #freeBytes: number;
  readonly #waiting: { readonly bytes: number; readonly resolve: () => void }[] = [];

  constructor(bytes: number) {
    this.#freeBytes = bytes;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  /** @param bytes at most what the whole budget has; every taken byte is to be given back */
  take(bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push({ bytes, resolve });
      this.#serve();
    });
  }

  give(bytes: number): void {
    this.#freeBytes += bytes;
    this.#serve();
  }

  #serve(): void {
    for (let next = this.#waiting[0]; next && next.bytes <= this.#freeBytes; ) {
      this.#waiting.shift();
      this.#freeBytes -= next.bytes;
      next.resolve();
      next = this.#waiting[0];
    }
  }
}
