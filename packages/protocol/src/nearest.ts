/** What somebody meant who wrote a word that is not known: for the hints of errors. Pure. */
import { distance } from "fastest-levenshtein";

/** Letters in a wrong order are one mistake, where Levenshtein counts two: `stael`, `tpc`. */
const mistakes = (wanted: string, word: string): number =>
  Math.min(distance(wanted, word), sorted(wanted) === sorted(word) ? 1 : Number.POSITIVE_INFINITY);

const sorted = (word: string): string => [...word].sort().join("");

/** The word of a vocabulary that was most likely meant; undefined when none is near. */
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

/** How many characters the two have in common at their start. */
function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

/**
 * The names that were most likely meant, nearest first. Names that somebody gave, of pods and the like, end in
 * random characters: a shared beginning counts as well as a small distance.
 */
export function nearestNames(wanted: string, known: readonly string[], count = 3): string[] {
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  return known
    .map((name) => ({
      name,
      // Beyond the limit one is as far as another, and the beginning decides.
      away: Math.min(mistakes(wanted, name), limit + 1),
      start: commonStart(wanted, name),
    }))
    .filter(
      ({ away, start, name }) =>
        away <= limit || start >= Math.max(3, Math.min(wanted.length, name.length) / 2),
    )
    .sort((a, b) => a.away - b.away || b.start - a.start || (a.name < b.name ? -1 : 1))
    .slice(0, count)
    .map(({ name }) => name);
}

/** All of them, nearest first, for lists so short that nobody minds reading them. */
export const nearestFirst = (wanted: string, known: readonly string[], count = 10): string[] =>
  [...new Set([...nearestNames(wanted, known, count), ...known])].slice(0, count);
