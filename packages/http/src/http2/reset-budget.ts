/**
 * How many streams a client may open only to reset them (CVE-2023-44487): they are not counted by what limits
 * those that are open. nghttp2 has the same burst, and a sixth of the rate: ours do not end in a server's work
 * beyond what the destination would have let happen itself.
 */
const BURST = 1000;
const PER_SECOND = 200;

export class ResetBudget {
  #left = BURST;
  #at: number;

  constructor(nowMs: number) {
    this.#at = nowMs;
  }

  /** @returns false: it is used up */
  take(nowMs: number): boolean {
    this.#left = Math.min(BURST, this.#left + ((nowMs - this.#at) / 1000) * PER_SECOND);
    this.#at = nowMs;
    this.#left -= 1;
    return this.#left >= 0;
  }
}
