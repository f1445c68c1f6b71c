/** What is seen of sessions while they work, and whether it settles afterwards to what it was before. */
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { SessionStatistics } from "../../packages/cli/src/exec/statistics.ts";
import { type Fit, fit, type Point } from "./fit.ts";
import type { SoakSession } from "./session.ts";
import { type Usages, usagesOf, zombiesOf } from "./watch.ts";

/** Idle connections, kept files and threads without work go by themselves; none takes longer. */
const SETTLE_MS = 45_000;
const SETTLE_POLL_MS = 500;
/** Of a run's samples, those before are of caches that fill. */
const WARM_UP_SHARE = 0.3;

export interface Watched {
  readonly session: SoakSession;
  /** The file of its INPOD_STATISTICS. */
  readonly statistics: string;
  /** Calls that its programs wait in for as long as they run. */
  readonly waits: number;
}

export function statisticsOf({ statistics }: Watched): readonly SessionStatistics[] {
  return readFileSync(statistics, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as SessionStatistics);
}

export const heldBy = ({ tap }: SessionStatistics): number =>
  tap.received - tap.answered - tap.cancelled;

/** Descriptors of each process of the session's own. */
export const descriptorsOf = (usages: Usages): Readonly<Record<string, number>> =>
  Object.fromEntries(
    [...usages].flatMap(([role, { descriptors }]) =>
      descriptors === undefined ? [] : [[role, descriptors]],
    ),
  );

/** What is more than before; each is a leak when nothing is at work. */
function left(watched: Watched, before: Readonly<Record<string, number>>): string[] {
  const { session } = watched;
  const now = descriptorsOf(usagesOf(session.pid));
  const descriptors = Object.entries(now)
    .filter(([role, count]) => count > (before[role] ?? 0))
    .map(
      ([role, count]) => `${session.name}: ${role} has ${count} descriptors, had ${before[role]}`,
    );
  const zombies = zombiesOf(session.pid).map((zombie) => `${session.name}: zombie ${zombie}`);
  const last = statisticsOf(watched).at(-1);
  const held = last ? heldBy(last) : 0;
  const calls = held > watched.waits ? [`${session.name}: ${held} calls are held`] : [];
  return [...descriptors, ...zombies, ...calls];
}

/** @returns what does not settle */
export async function settle(
  watched: Watched,
  before: Readonly<Record<string, number>>,
): Promise<readonly string[]> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const more = left(watched, before);
    if (more.length === 0 || performance.now() > deadline) return more;
    await delay(SETTLE_POLL_MS);
  }
}

/** Descriptors when nothing more changes: the same in several looks, one after the other. */
export async function quiet({ session }: Watched): Promise<Readonly<Record<string, number>>> {
  const deadline = performance.now() + SETTLE_MS;
  let last = descriptorsOf(usagesOf(session.pid));
  for (let same = 0; same < 6 && performance.now() < deadline; ) {
    await delay(SETTLE_POLL_MS);
    const now = descriptorsOf(usagesOf(session.pid));
    same = JSON.stringify(now) === JSON.stringify(last) ? same + 1 : 0;
    last = now;
  }
  return last;
}

/** Samples of memory, by what is measured. */
export class Samples {
  readonly #points = new Map<string, Point[]>();

  add(what: string, point: Point): void {
    const points = this.#points.get(what) ?? [];
    points.push(point);
    this.#points.set(what, points);
  }

  look({ session }: Watched): void {
    const at = Date.now();
    for (const [role, { residentKilobytes }] of usagesOf(session.pid)) {
      this.add(`${session.name}: ${role}, resident`, { at, value: residentKilobytes / 1000 });
    }
  }

  addStatistics(watched: Watched): void {
    for (const { at, tap, memory, referredTo } of statisticsOf(watched)) {
      const { name } = watched.session;
      const add = (what: string, bytes: number): void =>
        this.add(`${name}: CLI, ${what}`, { at, value: bytes / 1e6 });
      if (referredTo !== undefined) add("heap of JavaScript behind a collection", referredTo);
      add("buffers outside it", memory.arrayBuffers);
      if (tap.heapBytes > 0) add("heap of C (malloc)", tap.heapBytes);
    }
  }

  /** MB and minutes; without the samples of the warm-up. */
  fits(): readonly (readonly [what: string, fit: Fit])[] {
    return [...this.#points].map(([what, points]) => {
      const first = points[0]?.at ?? 0;
      const last = points.at(-1)?.at ?? 0;
      const from = first + (last - first) * WARM_UP_SHARE;
      const late = points.filter(({ at }) => at >= from);
      return [what, fit(late.map(({ at, value }) => ({ at: at / 60_000, value })))] as const;
    });
  }
}
