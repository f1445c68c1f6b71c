/**
 * What a session's own process has and does, as a line of JSON each second, in the file that INPOD_STATISTICS names:
 * for who looks for lost calls or growing memory (`npm run soak` does). Nothing of the program's is in it.
 */
import { appendFileSync } from "node:fs";
import type { TapStatistics } from "@inpod/layer";

const EVERY_MS = 1000;
/** Of so many lines one is written behind a collection of garbage, where Node was started with --expose-gc. */
const COLLECTED = 10;

export interface SessionStatistics {
  /** Since 1970, in ms. */
  readonly at: number;
  readonly tap: TapStatistics;
  readonly memory: NodeJS.MemoryUsage;
  /** Bytes of JavaScript's heap that something still refers to. */
  readonly referredTo?: number;
}

/** @param path undefined or "": nothing is written. Ends with a last line. */
export function writeStatistics(
  tap: { statistics(): TapStatistics },
  path: string | undefined,
): { end(): void } {
  if (!path) return { end: () => {} };
  let lines = 0;
  const write = (): void => {
    const memory = process.memoryUsage();
    const collects = global.gc !== undefined && lines++ % COLLECTED === 0;
    if (collects) global.gc?.();
    const now: SessionStatistics = {
      at: Date.now(),
      tap: tap.statistics(),
      memory,
      ...(collects ? { referredTo: process.memoryUsage().heapUsed } : {}),
    };
    appendFileSync(path, `${JSON.stringify(now)}\n`);
  };
  write();
  const timer = setInterval(write, EVERY_MS);
  timer.unref();
  return {
    end: () => {
      clearInterval(timer);
      write();
    },
  };
}
