/** A straight line through samples, by least squares. */
export interface Point {
  readonly at: number;
  readonly value: number;
}

export interface Fit {
  /** In the value's unit for each unit of `at`. */
  readonly slope: number;
  readonly mean: number;
  /** What the line rises over all of the samples' time. */
  readonly growth: number;
  /**
   * The least of the second half above the least of the first: what is collected now and then goes up and down by itself,
   * and a line through that rises or falls by chance.
   */
  readonly rise: number;
}

export function fit(points: readonly Point[]): Fit {
  const count = points.length;
  const mean = points.reduce((sum, { value }) => sum + value, 0) / count;
  const middle = points.reduce((sum, { at }) => sum + at, 0) / count;
  let covariance = 0;
  let variance = 0;
  for (const { at, value } of points) {
    covariance += (at - middle) * (value - mean);
    variance += (at - middle) ** 2;
  }
  const slope = variance === 0 ? 0 : covariance / variance;
  const span = (points.at(-1)?.at ?? 0) - (points[0]?.at ?? 0);
  const half = Math.ceil(count / 2);
  const least = (some: readonly Point[]): number => Math.min(...some.map(({ value }) => value));
  const rise = count < 2 ? 0 : least(points.slice(half)) - least(points.slice(0, half));
  return { slope, mean, growth: slope * span, rise };
}
