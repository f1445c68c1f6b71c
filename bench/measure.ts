/** Figures of things measured in turn, so that what else the machine does meets all of them alike. */

export type Sample = () => Promise<number>;

/** What runs for long is measured when it has run for a while: the first round is not counted. */
export async function warm<Name extends string>(
  rounds: number,
  variants: Readonly<Record<Name, Sample>>,
): Promise<Record<Name, number>> {
  await interleaved(1, variants);
  return interleaved(rounds, variants);
}

/** Of one sample of many, and how many there are at least. */
const BRIEF_MS = 30;
const LEAST_BRIEF = 20;

/**
 * Many short samples: whatever else the machine does lasts longer than one of them, so that it spoils some and not the
 * median.
 *
 * @param length of the load, if it were one sample, and how many of those
 */
export async function brief<Name extends string>(
  length: { readonly rounds: number; readonly loadMs: number },
  variants: Readonly<Record<Name, (ms: number) => Promise<number>>>,
): Promise<Record<Name, number>> {
  const of = (ms: number): Record<Name, Sample> =>
    Object.fromEntries(
      (Object.keys(variants) as Name[]).map((name) => [name, () => variants[name](ms)]),
    ) as Record<Name, Sample>;
  await interleaved(1, of(length.loadMs));
  const samples = Math.ceil((length.rounds * length.loadMs) / BRIEF_MS);
  return interleaved(Math.max(samples, LEAST_BRIEF), of(BRIEF_MS));
}

/** Medians of `rounds` samples of each; a round takes one of each, every other round the other way round. */
export async function interleaved<Name extends string>(
  rounds: number,
  variants: Readonly<Record<Name, Sample>>,
): Promise<Record<Name, number>> {
  const entries = Object.entries(variants) as [Name, Sample][];
  const samples = new Map<Name, number[]>(entries.map(([name]) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? entries : entries.toReversed();
    for (const [name, take] of order) samples.get(name)?.push(await take());
  }
  return Object.fromEntries([...samples].map(([name, taken]) => [name, median(taken)])) as Record<
    Name,
    number
  >;
}

/** Of figures to which whatever else the machine does can only add. */
export const least = (values: readonly number[]): number => Math.min(...values);

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
