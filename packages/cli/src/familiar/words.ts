/**
 * The commands and flags that users of neighbouring tools type, and what becomes of each here. The tables (ktctl.ts,
 * telepresence.ts, others.ts) are the only place where that is written: what is understood, what is answered, what --help
 * says and what docs/coming-from.md shows are made of them.
 */

export const TOOLS = ["ktctl", "Telepresence", "mirrord", "nhctl"] as const;
export type Tool = (typeof TOOLS)[number];

/** What becomes of a flag. */
export type FlagAnswer =
  /** Ours has the same name. */
  | { readonly kind: "same" }
  /** Written anew. `ours`: for people; undefined words: the value's. */
  | { readonly kind: "is"; readonly ours: string; readonly words: (value: string) => string[] }
  /** Left out with a line: nothing is missed. */
  | { readonly kind: "idle"; readonly why: string }
  /** The end, with what to do instead. */
  | { readonly kind: "no"; readonly why: string }
  /** By the command of ours that it goes on as. */
  | {
      readonly kind: "of";
      readonly command: string;
      readonly there: FlagAnswer;
      readonly otherwise: FlagAnswer;
    }
  /** By the flag's value; any other is the end. */
  | { readonly kind: "values"; readonly by: Readonly<Record<string, FlagAnswer>> };

export interface TheirFlag {
  /** "--kubeconfig", then its short form. */
  readonly names: readonly string[];
  readonly hasValue: boolean;
  readonly answer: FlagAnswer;
}

/** What was typed behind their command's own words. */
export interface Said {
  /** Each as it is quoted for a shell when it is shown. */
  readonly operands: readonly string[];
  /** By the flag's first name; of one without a value "". */
  readonly flags: ReadonlyMap<string, readonly string[]>;
  /** Behind `--`. */
  readonly program: readonly string[];
}

export type CommandAnswer =
  /** It goes on as this command of ours, with these words of it. */
  | {
      readonly kind: "ours";
      readonly words: readonly string[];
      readonly when?: (said: Said) => CommandAnswer | undefined;
    }
  /** The end: the command to type, one or more, and why it is another. */
  | {
      readonly kind: "instead";
      readonly type: (said: Said) => readonly string[];
      readonly why: string;
    };

export interface TheirCommand {
  readonly tool: Tool;
  /** "dev start": its own words. */
  readonly words: string;
  readonly flags: readonly TheirFlag[];
  readonly answer: CommandAnswer;
  /** For docs/coming-from.md: an example of theirs, and what differs. */
  readonly example?: string;
  readonly differs?: string;
}

export const same: FlagAnswer = { kind: "same" };
export const idle = (why: string): FlagAnswer => ({ kind: "idle", why });
export const no = (why: string): FlagAnswer => ({ kind: "no", why });
export const is = (ours: string, words?: (value: string) => string[]): FlagAnswer => ({
  kind: "is",
  ours,
  words: words ?? ((value) => (value === "" ? [ours] : [ours, value])),
});

/** "--dryRun", "-n --namespace V": V stands for a value. */
export function flags(all: Readonly<Record<string, FlagAnswer>>): TheirFlag[] {
  return Object.entries(all).map(([text, answer]) => {
    const names = text.split(" ");
    const hasValue = names.at(-1) === "V";
    const own = hasValue ? names.slice(0, -1) : names;
    return { names: own.toSorted((a, b) => b.length - a.length), hasValue, answer };
  });
}

/** A command line of ours for what they have said; what was not said stands in capitals. */
export const words = (...parts: readonly (string | readonly string[] | undefined)[]): string =>
  parts
    .flatMap((part) => part ?? [])
    .filter((word) => word !== "")
    .map((word) => (/^[\w@%+=:,./…-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");

/** The value of the first of these flags. */
export const said = ({ flags: all }: Said, ...names: readonly string[]): string | undefined =>
  names.flatMap((name) => all.get(name) ?? []).at(-1);

export const withFlag = (flag: string, value: string | undefined): string[] =>
  value === undefined || value === "" ? [] : [flag, value];

/** A workload by a bare name, as those tools have it. */
export const workload = (name: string | undefined): string =>
  name === undefined ? "deployment/NAME" : name.includes("/") ? name : `deployment/${name}`;

export const program = ({ program: words }: Said): string[] => [
  "--",
  ...(words.length > 0 ? words : ["COMMAND"]),
];
