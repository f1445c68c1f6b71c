/**
 * Clients that keep a connection open from before a port was stolen would never reach who has it now. Their
 * connections are ended, so that they come again: idle ones at once, when nothing is lost; the others when they
 * have become idle, or a while later whatever they do.
 */
import { setTimeout as delay } from "node:timers/promises";

const ROUND_MS = 200;
/** mirrord cuts all at once. */
const PATIENCE_MS = 5000;

export interface FlushRules {
  /** EOPNOTSUPP: this kernel cannot. EINVAL: the port is not stolen any more. */
  flush(port: number, which: "idle" | "all"): Promise<Flushed>;
}

export interface Flushed {
  readonly ended: number;
  /** Open still, or just being opened. */
  readonly left: number;
}

/** How many connections were ended when they were idle, and how many whatever they did. */
export interface TakenOver {
  readonly idle: number;
  readonly busy: number;
}

/**
 * Once the port's rule is there: whatever comes later is none of the pod's own.
 * @param signal aborted before the rule goes. Rejects with a Failure
 */
export async function takeOver(
  rules: FlushRules,
  port: number,
  signal: AbortSignal,
  patienceMs = PATIENCE_MS,
): Promise<TakenOver> {
  const deadline = performance.now() + patienceMs;
  let idle = 0;
  while (!signal.aborted) {
    const { ended, left } = await rules.flush(port, "idle");
    idle += ended;
    if (left === 0) return { idle, busy: 0 };
    const waitMs = Math.min(ROUND_MS, deadline - performance.now());
    if (waitMs <= 0) break;
    await delay(waitMs, undefined, { signal }).catch(() => undefined);
  }
  // Who was waiting in the kernel's hands for its last packet is one of them now.
  const busy = signal.aborted ? 0 : (await rules.flush(port, "all")).ended;
  return { idle, busy };
}
