/** How long another agent is tried for, and what is said meanwhile. Pure. */
import { UserError } from "@inpod/protocol";

/** Before each further attempt, the last again and again: a next pod is there in seconds, a network in minutes. */
const PAUSES_MS = [500, 1000, 1000, 2000, 2000, 3000, 5000] as const;
/** Of what fails again and again for another reason, and of a workload that somebody has scaled to zero. */
const PATIENCE_MS = 120_000;
/** Of a workload that has no pod that runs yet: a rollout pulls large images, moves volumes, runs migrations. */
const POD_PATIENCE_MS = 30 * 60_000;
/** What another attempt does not change. */
const FINAL =
  /^(POD_NOT|TARGET_(?!NOT_RUNNING|SCALED_TO_ZERO|HAS_NO_PODS)|CONTAINER_|NAMESPACE_|PROCESS_|FORBIDDEN|UNAUTHORIZED|LOGIN|KUBECONFIG|CONTEXT|POD_SECURITY|QUOTA|IMAGE_|REFUSED|AGENT_REFUSED)/;
const NO_POD = /^TARGET_(NOT_RUNNING|HAS_NO_PODS)$/;

export type Next =
  | { readonly kind: "give-up" }
  /** `say`: a line for people. */
  | { readonly kind: "again"; readonly pauseMs: number; readonly say?: string };

export class Patience {
  readonly #beganMs: number;
  /** Since when there was no failure but of the other kind. */
  #otherSinceMs: number;
  #attempts = 0;
  /** A pod that cannot start alternates between two words for it. */
  readonly #said = new Set<string>();
  #isLongSaid = false;

  constructor(nowMs: number) {
    this.#beganMs = nowMs;
    this.#otherSinceMs = nowMs;
  }

  failed(error: unknown, nowMs: number): Next {
    const code = error instanceof UserError ? error.code : "";
    const isWithoutPod = NO_POD.test(code);
    if (isWithoutPod) this.#otherSinceMs = nowMs;
    const isOver =
      nowMs - this.#otherSinceMs > PATIENCE_MS || nowMs - this.#beganMs > POD_PATIENCE_MS;
    if (FINAL.test(code) || isOver) return { kind: "give-up" };
    const pauseMs = PAUSES_MS[Math.min(this.#attempts++, PAUSES_MS.length - 1)] as number;
    const say = this.#words(error, nowMs);
    return { kind: "again", pauseMs, ...(say === undefined ? {} : { say }) };
  }

  #words(error: unknown, nowMs: number): string | undefined {
    const cause = error instanceof Error ? error.message : String(error);
    const isLong = nowMs - this.#beganMs > PATIENCE_MS;
    if (isLong && !this.#isLongSaid) {
      this.#isLongSaid = true;
      this.#said.add(cause);
      return `no other agent yet (${cause}): it is waited for, up to ${POD_PATIENCE_MS / 60_000} minutes in all`;
    }
    if (this.#said.has(cause)) return undefined;
    this.#said.add(cause);
    return `no other agent yet (${cause})`;
  }
}
