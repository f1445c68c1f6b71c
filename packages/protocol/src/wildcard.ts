/** `*` stands for any number of characters, `?` for one. Linear in the name but for the last `*`. Pure. */
export function matchesWildcard(pattern: string, name: string): boolean {
  let at = 0;
  let read = 0;
  // Where to go on when what follows the last `*` does not fit: it takes one character more.
  let starAt = -1;
  let starRead = 0;
  while (read < name.length) {
    const char = pattern[at];
    if (char === "*") {
      starAt = at++;
      starRead = read;
    } else if (char === "?" || char === name[read]) {
      at += 1;
      read += 1;
    } else if (starAt >= 0) {
      at = starAt + 1;
      read = ++starRead;
    } else return false;
  }
  while (pattern[at] === "*") at += 1;
  return at === pattern.length;
}
