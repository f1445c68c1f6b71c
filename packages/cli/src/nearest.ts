import { distance } from "fastest-levenshtein";

/** The known word that somebody who wrote `wanted` most likely meant; undefined when none is near. */
export function nearest(wanted: string, known: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  let best: string | undefined;
  let least = limit + 1;
  for (const word of known) {
    if (Math.abs(word.length - wanted.length) >= least) continue;
    const away = mistakes(wanted.toLowerCase(), word.toLowerCase());
    if (away < least) [best, least] = [word, away];
  }
  return best;
}

/** Letters in a wrong order are one mistake, where Levenshtein counts two: `stael`, `tpc`. */
const mistakes = (wanted: string, word: string): number =>
  Math.min(distance(wanted, word), sorted(wanted) === sorted(word) ? 1 : Number.POSITIVE_INFINITY);

const sorted = (word: string): string => [...word].sort().join("");
