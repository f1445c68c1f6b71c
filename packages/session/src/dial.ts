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
