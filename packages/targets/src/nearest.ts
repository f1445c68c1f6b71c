/** Levenshtein distance; `limit` + 1 stands for everything beyond it. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/** How many characters the two have in common at their start. */
function commonStart(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}

/**
 * The known names that somebody who wrote `wanted` most likely meant, nearest first. Pods end in
 * random characters, so a shared beginning counts as well as a small distance.
 */
export function nearest(wanted: string, known: readonly string[], count = 3): string[] {
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  return known
    .map((name) => ({
      name,
      distance: distance(wanted, name, limit),
      start: commonStart(wanted, name),
    }))
    .filter(
      ({ distance, start, name }) =>
        distance <= limit || start >= Math.max(3, Math.min(wanted.length, name.length) / 2),
    )
    .sort((a, b) => a.distance - b.distance || b.start - a.start || (a.name < b.name ? -1 : 1))
    .slice(0, count)
    .map(({ name }) => name);
}

/** All of them, nearest first, for lists so short that nobody minds reading them. */
export const nearestFirst = (wanted: string, known: readonly string[], count = 10): string[] =>
  [...new Set([...nearest(wanted, known, count), ...known])].slice(0, count);
