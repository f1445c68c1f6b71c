/**
 * What a path rule compares with: kinds that C evaluates without allocation, and a regular
 * expression for what none of them says exactly.
 *
 * Paths are ByteStrings, absolute and normalised: they start with "/", contain no "//", "/./"
 * or "/../", and end with "/" only when they are "/". Letters are compared without their case
 * in ASCII only; all other bytes are compared as they are.
 */
import type { ByteString } from "@inpod/protocol";
import { compileUserRegex } from "@inpod/session";

export type Match =
  | { readonly kind: "exact"; readonly path: ByteString }
  /** The path itself, or anything below it. Never "/". */
  | { readonly kind: "tree"; readonly path: ByteString }
  | { readonly kind: "prefix"; readonly text: ByteString }
  | { readonly kind: "suffix"; readonly text: ByteString }
  | { readonly kind: "contains"; readonly text: ByteString }
  /** Ends in `.so`, `.so.1`, `.so.6.0.30` … */
  | { readonly kind: "shared-object" }
  /** `regex` is matched against the path's bytes read as UTF-8. It has no state. */
  | { readonly kind: "regex"; readonly source: string; readonly regex: RegExp };

/** Bytes of the longest path that the kernel takes: PATH_MAX less its NUL (limits.h). */
export const MAX_PATH_LENGTH = 4095;

const SHARED_OBJECT = /\.so(?:\.[0-9]+)*$/i;

/** `true` when `path` is what `match` describes. Paths beyond MAX_PATH_LENGTH match nothing. */
export function matches(match: Match, path: ByteString): boolean {
  if (path.length > MAX_PATH_LENGTH) return false;
  switch (match.kind) {
    case "exact":
      return lowerAscii(path) === lowerAscii(match.path);
    case "tree": {
      const lower = lowerAscii(path);
      const root = lowerAscii(match.path);
      return lower.startsWith(root) && (lower.length === root.length || lower[root.length] === "/");
    }
    case "prefix":
      return lowerAscii(path).startsWith(lowerAscii(match.text));
    case "suffix":
      return lowerAscii(path).endsWith(lowerAscii(match.text));
    case "contains":
      return lowerAscii(path).includes(lowerAscii(match.text));
    case "shared-object":
      return SHARED_OBJECT.test(path);
    case "regex":
      return match.regex.test(bytesToText(path));
  }
}

/** String.prototype.toLowerCase would also fold latin1 letters, which here are halves of UTF-8 sequences. */
const lowerAscii = (bytes: ByteString): ByteString =>
  bytes.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** Bytes that are not UTF-8 become U+FFFD: no expression can name them. */
export const bytesToText = (bytes: ByteString): string =>
  Buffer.from(bytes, "latin1").toString("utf8");

export const textToBytes = (text: string): ByteString =>
  Buffer.from(text, "utf8").toString("latin1");

/**
 * The cheapest Match that is true for exactly the same absolute, normalised paths as the
 * expression is (unanchored, without case, `.` matches every character).
 *
 * @param key where the expression stands in the configuration, for the error
 * @throws ConfigValueError
 */
export function compileRegex(source: string, key: string): Match {
  const regex = compileUserRegex(source, key, { ignoreCase: true });
  return translate(regex.source === "(?:)" ? "" : regex.source) ?? { kind: "regex", source, regex };
}

/**
 * What may stand before and after the literal part of an expression. `startsAnywhere`:
 * any text may precede; `needsChar`: at least one character must.
 */
const HEADS = [
  { text: "^", isAnchored: true, needsChar: false, slash: false },
  { text: "^.*", isAnchored: false, needsChar: false, slash: false },
  { text: "^.+", isAnchored: false, needsChar: true, slash: false },
  { text: ".*", isAnchored: false, needsChar: false, slash: false },
  { text: ".+", isAnchored: false, needsChar: true, slash: false },
  { text: ".", isAnchored: false, needsChar: true, slash: false },
  { text: ".*(^|/)", isAnchored: false, needsChar: false, slash: true },
  { text: "(^|/)", isAnchored: false, needsChar: false, slash: true },
  { text: "", isAnchored: false, needsChar: false, slash: false },
] as const;

const TAILS = [
  { text: "$", kind: "end" },
  { text: "(/|$)", kind: "tree" },
  { text: "(?:/|$)", kind: "tree" },
  { text: "($|/)", kind: "tree" },
  { text: "(/.*)?$", kind: "tree" },
  { text: ".*$", kind: "any" },
  { text: ".*", kind: "any" },
  { text: ".+$", kind: "some" },
  { text: ".+", kind: "some" },
  { text: ".", kind: "some" },
  { text: "", kind: "any" },
] as const;

function translate(source: string): Match | undefined {
  // RegExp.prototype.source escapes every "/".
  const plain = source.replaceAll("\\/", "/");
  for (const head of HEADS) {
    if (!plain.startsWith(head.text)) continue;
    for (const tail of TAILS) {
      if (!plain.endsWith(tail.text)) continue;
      if (head.text.length + tail.text.length > plain.length) continue;
      const literal = parseLiteral(plain.slice(head.text.length, plain.length - tail.text.length));
      if (literal === undefined) continue;
      const match = toMatch(head, literal, tail.kind);
      if (match !== undefined) return match;
    }
  }
  return undefined;
}

function toMatch(
  head: (typeof HEADS)[number],
  literal: string,
  tail: (typeof TAILS)[number]["kind"],
): Match | undefined {
  // Absolute paths start with "/": a text that does not is always preceded by a character, and
  // never stands at the start, so that (^|/)x is /x.
  const startsWithSlash = literal.startsWith("/");
  if ((head.needsChar || head.slash) && (startsWithSlash || literal === "")) return undefined;
  const text = head.slash ? `/${literal}` : literal;
  // Normalised paths end with "/" only when they are "/": a longer text that ends so is always
  // followed by a character.
  if (tail === "some" && !(text.endsWith("/") && text.length > 1)) return undefined;
  if (head.isAnchored) {
    if (tail === "end") return { kind: "exact", path: text };
    if (tail !== "tree") return { kind: "prefix", text };
    return text === "" || text.endsWith("/") ? undefined : { kind: "tree", path: text };
  }
  if (tail === "tree") return undefined;
  return tail === "end" ? { kind: "suffix", text } : { kind: "contains", text };
}

/** The text that an expression of nothing but literal ASCII characters matches. */
function parseLiteral(source: string): string | undefined {
  let literal = "";
  for (let at = 0; at < source.length; at++) {
    const char = source.charAt(at);
    if (char === "\\") {
      at += 1;
      const escaped = source.charAt(at);
      if (!/^[!-/:-@[-`{-~ ]$/.test(escaped)) return undefined;
      literal += escaped;
    } else {
      if (!/^[^.^$*+?()[\]{}|\u0080-\uffff]$/.test(char)) return undefined;
      literal += char;
    }
  }
  return literal;
}
