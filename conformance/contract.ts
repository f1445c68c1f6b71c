/**
 * What a program in the pod's place is asked, and when what it says is right: when it says what the same question was
 * answered in the pod itself.
 *
 * A program answers with lines "key value", the keys being
 *
 *   peer, local    both ends of the connection that it was asked on
 *   out, to, from  a request to a neighbour by its name: the body, and both ends where it knows them
 *   dns            the neighbour's address, by the way that all programs of the runtime take
 *   resolver       the same by a resolver that the runtime brings along beside libc's
 *   env, file, hostname
 *   refused, unreachable, unknown   the word for what a connection failed with
 *   by             which process or thread answered
 */

/** The columns of the table, with the keys that each is judged by. */
export const COLUMNS = {
  incoming: [],
  peer: ["peer", "local"],
  outgoing: ["out", "to", "from"],
  DNS: ["dns"],
  "own resolver": ["resolver"],
  environment: ["env"],
  file: ["file"],
  hostname: ["hostname"],
  errors: ["refused", "unreachable", "unknown"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type Column = keyof typeof COLUMNS;
export const columns = Object.keys(COLUMNS) as readonly Column[];

/** A program may say a key more than once, for several ways to the same end. */
export type Facts = ReadonlyMap<string, readonly string[]>;

export type Cell =
  | { readonly kind: "yes" }
  | { readonly kind: "no"; readonly why: string }
  /** There is nothing to be seen: the program has no such thing, or leaves it to others on purpose. */
  | { readonly kind: "none"; readonly why: string };

export type Cells = Readonly<Record<Column, Cell>>;

/** Why the program of a row does not speak of a column. */
export type Without = Readonly<Partial<Record<Column, string>>>;

export interface Answer {
  readonly text: string;
  /** By key, what is right beside what the reference said: the ends of this connection, another neighbour's address. */
  readonly right: Readonly<Record<string, string>>;
}

/** Not every program sees its own sockets. */
const OPTIONAL = new Set(["local", "to", "from"]);

export function readFacts(text: string): Facts {
  const facts = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [, key = "", value = ""] = /^([a-z]+) ?(.*?)\r?$/.exec(line) ?? [];
    if (key === "") continue;
    facts.set(key, [...(facts.get(key) ?? []), value]);
  }
  return facts;
}

/**
 * @param inPod what the reference said in the pod; its connection was another one
 * @param answers all that the program said in its place
 */
export function judge(inPod: Facts, answers: readonly Answer[], without: Without): Cells {
  const found = answers.map(({ text, right }) => {
    const wanted = new Map([...inPod].map(([key, [value = ""]]) => [key, value]));
    for (const [key, value] of Object.entries(right)) wanted.set(key, value);
    // libc is what the reference asks: another resolver must find the same.
    wanted.set("resolver", right.resolver ?? wanted.get("dns") ?? "");
    return { said: readFacts(text), wanted };
  });
  const cell = (column: Column): Cell => {
    const keys: readonly string[] = COLUMNS[column];
    const why = without[column];
    const isSaid = found.some(({ said }) => keys.some((key) => said.has(key)));
    if (why !== undefined) {
      return isSaid ? { kind: "no", why: `it should not, because ${why}` } : { kind: "none", why };
    }
    if (found.length === 0) return { kind: "no", why: "no answer" };
    for (const { said, wanted } of found) {
      for (const key of keys) {
        const values = said.get(key) ?? [];
        if (values.length === 0 && !OPTIONAL.has(key)) {
          return { kind: "no", why: `it does not say ${key}` };
        }
        const right = wanted.get(key);
        const wrong = values.find((value) => value !== right);
        if (wrong !== undefined) {
          return { kind: "no", why: `${key} is ${wrong || "empty"}, in the pod ${right}` };
        }
      }
    }
    return { kind: "yes" };
  };
  return Object.fromEntries(columns.map((column) => [column, cell(column)])) as Cells;
}

/** Of a program that could not even be asked. */
export const unanswered = (why: string, without: Without): Cells =>
  Object.fromEntries(
    columns.map((column) => {
      const reason = without[column];
      const cell = reason === undefined ? { kind: "no", why } : { kind: "none", why: reason };
      return [column, cell];
    }),
  ) as Cells;

export const all = (cell: Cell): Cells =>
  Object.fromEntries(columns.map((column) => [column, cell])) as Cells;
