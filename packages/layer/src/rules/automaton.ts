/**
 * A regular expression as a table by which C decides about a path in one pass over its bytes, exactly as JavaScript
 * would: a deterministic automaton, made by following all the ways through the expression at once. So a user's
 * `^/var/log/.*\.log$` costs no question to TypeScript for each path of each process.
 *
 * JavaScript reads the path as UTF-16, C as bytes. For ASCII they are the same. All other code units are one symbol,
 * which comes as often as JavaScript sees one; where an expression tells them from each other (`é`, `[^ä]`), C says
 * that it does not know, and TypeScript is asked, as for bytes that are not UTF-8.
 */
import { parseRegex, type RegexNode } from "./regex-syntax.ts";

/** The first states of every automaton: the answers. */
const NO = 0;
const YES = 1;
const UNSURE = 2;

/** Symbols: the 128 of ASCII, then one for all other code units; after the last byte comes the end. */
const NOT_ASCII = 128;
const END = 129;
const SYMBOLS = 130;

/** An expression that needs more is left to TypeScript: `a.{20}b` has a state for each set of places of an `a`. */
const MAX_STATES = 512;
const MAX_STEPS = 1024;
/** Steps looked at while a table is made: some 50 ms. */
const MAX_WORK = 1_000_000;

/**
 * @param source of a RegExp with the flags i and s
 * @returns undefined for what is left to JavaScript. Else, in one table of numbers: how many classes of symbols there
 *   are · the first state · the class of each of the 130 symbols · for each state the next one by class
 */
export function compileAutomaton(source: string): Uint16Array | undefined {
  const parsed = parseRegex(source);
  if (parsed === undefined) return undefined;
  const steps = new Steps();
  const first = steps.add(parsed, steps.push({ kind: "accept" }));
  return first === undefined ? undefined : determine(steps, first);
}

/** Which symbols one unit of an expression matches: 1 yes, 0 no; of those that are not ASCII, 2: some of them. */
type Matched = readonly (0 | 1 | 2)[];

type Step =
  | { readonly kind: "accept" }
  | { readonly kind: "unit"; readonly matched: Matched; readonly next: number }
  | { readonly kind: "either"; readonly next: number[] }
  | {
      readonly kind: "only-at";
      readonly place: "start" | "end" | "boundary" | "inside";
      readonly next: number;
    };

/** The expression as steps that lead to steps, the last one first. */
class Steps {
  readonly list: Step[] = [];
  readonly #known = new Map<string, Matched>();

  push(step: Step): number {
    return this.list.push(step) - 1;
  }

  /** The first step of `node`, after which `next` comes; undefined when it takes too many. */
  add(node: RegexNode, next: number): number | undefined {
    if (this.list.length > MAX_STEPS) return undefined;
    switch (node.kind) {
      case "unit":
        return this.push({ kind: "unit", matched: this.#matched(node.source), next });
      case "sequence":
        return node.parts.reduceRight<number | undefined>(
          (after, part) => (after === undefined ? undefined : this.add(part, after)),
          next,
        );
      case "choice": {
        const first = node.options.map((option) => this.add(option, next));
        return first.every((step) => step !== undefined)
          ? this.push({ kind: "either", next: first })
          : undefined;
      }
      case "repeat":
        return this.#repeat(node, next);
      case "start":
      case "end":
        return this.push({ kind: "only-at", place: node.kind, next });
      case "word-boundary":
        return this.push({
          kind: "only-at",
          place: node.isBoundary ? "boundary" : "inside",
          next,
        });
    }
  }

  #repeat(
    { part, least, most }: Extract<RegexNode, { kind: "repeat" }>,
    next: number,
  ): number | undefined {
    if (least > MAX_STEPS || (most !== Number.POSITIVE_INFINITY && most > MAX_STEPS)) {
      return undefined;
    }
    let first: number | undefined = next;
    if (most === Number.POSITIVE_INFINITY) {
      const ways = [next];
      first = this.push({ kind: "either", next: ways });
      const again = this.add(part, first);
      if (again === undefined) return undefined;
      ways.push(again);
    }
    for (let n = most === Number.POSITIVE_INFINITY ? least : most; n > 0; n--) {
      const once = this.add(part, first);
      if (once === undefined) return undefined;
      first = n > least ? this.push({ kind: "either", next: [once, next] }) : once;
    }
    return first;
  }

  #matched(source: string): Matched {
    let matched = this.#known.get(source);
    if (matched === undefined) {
      matched = matchedBy(source);
      this.#known.set(source, matched);
    }
    return matched;
  }
}

const NOT_ASCII_UNITS = String.fromCharCode(
  ...Array.from({ length: 0x8000 - 0x80 }, (_, at) => at + 0x80),
).concat(String.fromCharCode(...Array.from({ length: 0x8000 }, (_, at) => at + 0x8000)));

function matchedBy(source: string): Matched {
  const one = new RegExp(`^(?:${source})$`, "is");
  const ascii = Array.from({ length: NOT_ASCII }, (_, code) =>
    one.test(String.fromCharCode(code)) ? 1 : 0,
  );
  const left = NOT_ASCII_UNITS.replace(new RegExp(source, "gis"), "").length;
  return [...ascii, left === 0 ? 1 : left === NOT_ASCII_UNITS.length ? 0 : 2];
}

const isWord = (symbol: number): boolean => /^\w$/.test(String.fromCharCode(symbol));

/** Where in the path the automaton is: what steps of the kind "only-at" ask for. */
interface Place {
  readonly isStart: boolean;
  readonly isEnd: boolean;
  readonly isAfterWord: boolean;
  readonly isBeforeWord: boolean;
}

/** A state: the steps that may come next, in the order of their numbers, and what is known of the symbol before. */
interface State {
  readonly steps: readonly number[];
  readonly isStart: boolean;
  readonly isAfterWord: boolean;
}

function determine(steps: Steps, first: number): Uint16Array | undefined {
  const { classOf, symbolOf } = classesOf(steps);
  const states: State[] = [];
  const numbers = new Map<string, number>();
  const numberOf = (state: State): number => {
    const key = `${state.steps} ${state.isStart} ${state.isAfterWord}`;
    let number = numbers.get(key);
    if (number === undefined) {
      number = UNSURE + states.push(state);
      numbers.set(key, number);
    }
    return number;
  };
  const start = numberOf({ steps: [first], isStart: true, isAfterWord: false });
  const rows: number[][] = [NO, YES, UNSURE].map((answer) => symbolOf.map(() => answer));
  let work = 0;
  for (let at = 0; at < states.length; at++) {
    const state = states[at];
    if (state === undefined || states.length > MAX_STATES || work > MAX_WORK) return undefined;
    work += state.steps.length * symbolOf.length;
    rows.push(symbolOf.map((symbol) => nextOf(steps.list, state, symbol, first, numberOf)));
  }
  const decided = hopeless(rows);
  return Uint16Array.from([
    symbolOf.length,
    decided(start),
    ...classOf,
    ...rows.flat().map(decided),
  ]);
}

/** Symbols that no unit tells from each other are one class; `symbolOf` has one of each. */
function classesOf({ list }: Steps): { classOf: number[]; symbolOf: number[] } {
  const units = list.filter((step) => step.kind === "unit");
  const hasBoundaries = list.some(
    (step) => step.kind === "only-at" && (step.place === "boundary" || step.place === "inside"),
  );
  const classes = new Map<string, number>();
  const symbolOf: number[] = [];
  const classOf = Array.from({ length: SYMBOLS }, (_, symbol) => {
    const special = symbol >= NOT_ASCII ? symbol : hasBoundaries && isWord(symbol);
    const key = `${special} ${units.map(({ matched }) => matched[symbol]).join("")}`;
    const known = classes.get(key) ?? symbolOf.push(symbol) - 1;
    classes.set(key, known);
    return known;
  });
  return { classOf, symbolOf };
}

function nextOf(
  list: readonly Step[],
  state: State,
  symbol: number,
  first: number,
  numberOf: (state: State) => number,
): number {
  const isEnd = symbol === END;
  const isBeforeWord = symbol < NOT_ASCII && isWord(symbol);
  const reached = closure(list, state, { ...state, isEnd, isBeforeWord });
  const reachedSteps = [...reached].map((at) => list[at]);
  if (reachedSteps.some((step) => step?.kind === "accept")) return YES;
  if (isEnd) return NO;
  // The expression may begin anywhere.
  const next = new Set([first]);
  for (const step of reachedSteps) {
    if (step?.kind !== "unit") continue;
    if (step.matched[symbol] === 2) return UNSURE;
    if (step.matched[symbol] === 1) next.add(step.next);
  }
  return numberOf({
    steps: [...next].sort((a, b) => a - b),
    isStart: false,
    isAfterWord: list.some((step) => step.kind === "only-at") && isBeforeWord,
  });
}

/** Every step that is reached without a symbol. */
function closure(list: readonly Step[], { steps }: State, place: Place): Set<number> {
  const reached = new Set(steps);
  for (const at of reached) {
    const step = list[at];
    if (step?.kind === "either") for (const next of step.next) reached.add(next);
    if (step?.kind === "only-at" && isAt(step.place, place)) reached.add(step.next);
  }
  return reached;
}

function isAt(place: "start" | "end" | "boundary" | "inside", here: Place): boolean {
  switch (place) {
    case "start":
      return here.isStart;
    case "end":
      return here.isEnd;
    case "boundary":
      return here.isAfterWord !== here.isBeforeWord;
    case "inside":
      return here.isAfterWord === here.isBeforeWord;
  }
}

/** States from which no way leads to YES or UNSURE are NO: C then stops reading at the first byte that differs. */
function hopeless(rows: readonly (readonly number[])[]): (state: number) => number {
  const hopeful = new Set([YES, UNSURE]);
  for (let size = 0; size < hopeful.size; ) {
    size = hopeful.size;
    rows.forEach((row, state) => {
      if (!hopeful.has(state) && row.some((next) => hopeful.has(next))) hopeful.add(state);
    });
  }
  return (state) => (hopeful.has(state) ? state : NO);
}
