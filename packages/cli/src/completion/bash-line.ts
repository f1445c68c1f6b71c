/** A line as bash would read it, as far as completing its last word needs. Pure. */

/** @param line up to the cursor. @returns at least one word; the last is the one to complete, maybe empty */
export function splitLine(line: string): string[] {
  const words: string[] = [];
  let word = "";
  let isOpen = false;
  let quote = "";
  for (let at = 0; at < line.length; at++) {
    const character = line[at] ?? "";
    if (quote === "'" ? character === "'" : quote === '"' && character === '"') quote = "";
    else if (quote === "" && (character === "'" || character === '"')) {
      quote = character;
      isOpen = true;
    } else if (character === "\\" && quote !== "'") {
      word += line[++at] ?? "";
      isOpen = true;
    } else if (quote === "" && /[\s|&;()]/.test(character)) {
      // What stands before a pipe or && is another command.
      if (/[|&;()]/.test(character)) words.length = 0;
      else if (isOpen) words.push(word);
      word = "";
      isOpen = false;
    } else {
      word += character;
      isOpen = true;
    }
  }
  return [...words, word];
}

/**
 * bash takes `=` and `:` for ends of words, and puts what we answer behind the last of them.
 *
 * @returns how much of the word bash has already, to be left out of each candidate
 */
export function broken(word: string, breaks: string): number {
  return (
    Math.max(
      ...["=", ":"].filter((each) => breaks.includes(each)).map((each) => word.lastIndexOf(each)),
      -1,
    ) + 1
  );
}
