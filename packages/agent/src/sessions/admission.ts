/** Who may speak with this agent: the session that it was started for, and those that a session has admitted. */

export interface Admitted {
  /** Ed25519, raw, base64. */
  readonly publicKey: string;
  /** As the cluster knows him; undefined for the first session where nobody said. */
  readonly owner: string | undefined;
}

/** How long a greeting waits: whoever is to admit its session learns of it from the cluster meanwhile. */
const WAIT_MS = 4_000;
/** More than the sessions of an agent: some have ended. */
const MAX_ADMITTED = 64;
/** Greetings that wait at a time; beyond, a session that nobody knows is refused at once. */
const MAX_WAITING = 16;

export class Admission {
  readonly #first: Admitted;
  readonly #waitMs: number;
  readonly #admitted = new Map<string, Admitted>();
  readonly #waiting = new Set<(sessionId: string) => void>();

  constructor(first: Admitted, waitMs = WAIT_MS) {
    this.#first = first;
    this.#waitMs = waitMs;
  }

  /** The newest for a session counts; the oldest is forgotten when there are too many. */
  admit(sessionId: string, admitted: Admitted): void {
    this.#admitted.delete(sessionId);
    this.#admitted.set(sessionId, admitted);
    const [oldest] = this.#admitted.keys();
    if (this.#admitted.size > MAX_ADMITTED && oldest !== undefined) this.#admitted.delete(oldest);
    for (const tell of this.#waiting) tell(sessionId);
  }

  /** Of a session that has greeted. */
  ownerOf(sessionId: string): string | undefined {
    return (this.#admitted.get(sessionId) ?? this.#first).owner;
  }

  /** Whether the session may speak; one that nobody has admitted yet is waited for. */
  async admits(sessionId: string, isSignedBy: (publicKey: string) => boolean): Promise<boolean> {
    const known = this.#admitted.get(sessionId);
    if (known) return isSignedBy(known.publicKey);
    if (isSignedBy(this.#first.publicKey)) return true;
    if (this.#waiting.size >= MAX_WAITING) return false;
    await this.#admission(sessionId);
    const admitted = this.#admitted.get(sessionId);
    return admitted !== undefined && isSignedBy(admitted.publicKey);
  }

  #admission(sessionId: string): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(tell);
        resolve();
      };
      const tell = (admitted: string): void => {
        if (admitted === sessionId) end();
      };
      const timer = setTimeout(end, this.#waitMs);
      this.#waiting.add(tell);
    });
  }
}
