/** Counts datagrams that do not reach the session, and tells it: at once the first time, then seldom. */
const TELL_MS = 5000;

export class Dropped {
  readonly #tell: (port: number, count: number) => void;
  readonly #counts = new Map<number, { count: number; told: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (port: number, count: number) => void) {
    this.#tell = tell;
  }

  add(port: number): void {
    const entry = this.#counts.get(port) ?? { count: 0, told: 0 };
    this.#counts.set(port, entry);
    entry.count++;
    if (entry.told === 0) this.#say(port, entry);
    else this.#timer ??= setTimeout(() => this.flush(), TELL_MS).unref();
  }

  /** The exact numbers, where they are not told yet. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [port, entry] of this.#counts)
      if (entry.told !== entry.count) this.#say(port, entry);
  }

  #say(port: number, entry: { count: number; told: number }): void {
    entry.told = entry.count;
    this.#tell(port, entry.count);
  }
}
