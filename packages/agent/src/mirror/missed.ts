/** Counts what a session's mirroring has missed, and tells the session: at once the first time, then seldom. */
import type { MirrorMissed } from "@inpod/protocol";

const TELL_MS = 5000;

export class Missed {
  readonly #tell: (missed: MirrorMissed) => void;
  readonly #counts = new Map<string, { missed: MirrorMissed; told: number }>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: (missed: MirrorMissed) => void) {
    this.#tell = tell;
  }

  /** @param port 0: nobody knows of which */
  add(port: number, what: MirrorMissed["what"], count = 1): void {
    const key = `${port} ${what}`;
    const entry = this.#counts.get(key) ?? { missed: { port, what, count: 0 }, told: 0 };
    entry.missed = { port, what, count: entry.missed.count + count };
    this.#counts.set(key, entry);
    if (entry.told === 0) this.#say(entry);
    else this.#timer ??= setTimeout(() => this.flush(), TELL_MS).unref();
  }

  /** The exact numbers, where they are not told yet. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const entry of this.#counts.values()) {
      if (entry.told !== entry.missed.count) this.#say(entry);
    }
  }

  #say(entry: { missed: MirrorMissed; told: number }): void {
    entry.told = entry.missed.count;
    this.#tell(entry.missed);
  }
}
