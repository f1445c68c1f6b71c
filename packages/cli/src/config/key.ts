/** The session's identifier among people: in labels, templates and filters. It is no secret. */
import { randomBytes } from "node:crypto";

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const SYMBOLS = `${LETTERS}234567`;
const LENGTH = 8;

/** A label's value that also is a DNS label; one of 8 × 10¹¹. */
export const newKey = (): string =>
  [...randomBytes(LENGTH)]
    .map((byte, at) => (at === 0 ? LETTERS[byte % LETTERS.length] : SYMBOLS[byte % SYMBOLS.length]))
    .join("");
