/** Waiting that ends with a signal. */
import type { Duplex } from "node:stream";

/** The stream is destroyed when `signal` is aborted, also one that arrives later. */
export function dialled(
  dial: (signal: AbortSignal) => Promise<Duplex>,
  signal: AbortSignal,
): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    dial(signal).then((stream) => {
      stream.on("error", () => {}); // told by its "close" too, and there may be nobody yet who listens
      if (signal.aborted) stream.destroy();
      else signal.addEventListener("abort", () => stream.destroy(), { once: true });
      resolve(stream);
    }, reject);
  });
}

/**
 * What `work` gives, unless a signal ends the waiting.
 * @param late gets what comes of it when nobody waits any more
 * @throws what `work` does; the signal's reason, as soon as there is one
 */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  late: (value: T) => unknown = () => {},
): Promise<T> {
  let stop = (): void => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
  try {
    return await Promise.race([aborted, work]);
  } catch (error) {
    if (signal.aborted) work.then(late).catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Returns early, without an error, when one of `stops` is aborted. */
export function pause(ms: number, stops: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    if (ms <= 0 || stops.some((stop) => stop.aborted)) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      for (const stop of stops) stop.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    for (const stop of stops) stop.addEventListener("abort", done);
  });
}
