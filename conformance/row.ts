/** A row of the table: a runtime, what is started for it, and how it is asked. */
import { fileURLToPath } from "node:url";
import { buildProgram, NETWORK, POD_FILES, type Recipe } from "@inpod/sandbox";
import type { Answer, Without } from "./contract.ts";
import { type Tool, versionOf } from "./install.ts";
import type { Place } from "./session.ts";

export interface Row {
  /** As in the table. */
  readonly name: string;
  readonly without: Without;
  prepare(): Promise<Prepared>;
}

/** Rows that share a session. */
export interface Group {
  readonly rows: readonly Row[];
  /** Of the session, beside `--steal`. */
  readonly config?: object;
}

export type Prepared =
  | { readonly kind: "ready"; readonly program: Program }
  /** `why`: what is not there, and how to have it. */
  | { readonly kind: "missing"; readonly why: string };

export interface Program extends Played {
  /** Of the runtime, for the table. */
  readonly version: string;
}

/** What is done with a program. */
export interface Played {
  /** A line of sh, run in the place's folder. */
  start(place: Place): string | Promise<string>;
  /** The pod's ports that it takes beside the place's own. */
  readonly otherPorts?: readonly number[];
  /** `ask` does first what it listens after, and awaits that itself. */
  readonly listensWhenAsked?: boolean;
  /** Default: `askServer`. */
  ask?(place: Place): Promise<readonly Answer[]>;
  /** When the session has ended, and before it is looked for what is left. @throws where it should have ended otherwise */
  afterwards?(place: Place): Promise<void>;
}

export interface Tooled {
  readonly name: string;
  readonly without?: Without;
  tool(): Promise<Tool>;
  /** @param argv the tool */
  program(argv: readonly string[]): Played;
}

/** A row of a tool that may be missing. */
export const row = ({ name, without = {}, tool, program }: Tooled): Row => ({
  name,
  without,
  prepare: async () => {
    const found = await tool();
    if (found.kind === "missing") return found;
    return { kind: "ready", program: { ...program(found.argv), version: found.version } };
  },
});

/** Why many have nothing in its column. */
export const NO_RESOLVER: Without = { "own resolver": "names are libc's business" };

const { greetings, refusedPort } = NETWORK.services;
/** The name that is asked for, as the pod's applications write it. */
export const NAME = "greetings";
export const QUESTION = {
  name: NAME,
  address: greetings,
  refusedPort,
  unreachable: NETWORK.unreachable,
  variable: "GREETING",
  file: POD_FILES.greeting,
} as const;
/** What a server's path says: what it is to look at. */
export const PATH = `/${NAME}/${refusedPort}/${NETWORK.unreachable}/${QUESTION.variable}${QUESTION.file}`;

export const program = (file: string): string =>
  fileURLToPath(new URL(`./programs/${file}`, import.meta.url));

export const quoted = (argv: readonly string[]): string =>
  argv
    .map((word) => (/^[\w/.:=-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
    .join(" ");

/** What is compiled of our source, by a toolchain that says its version. */
export async function compiledBy(version: readonly string[], recipe: Recipe): Promise<Tool> {
  const [built, number] = await Promise.all([buildProgram(recipe), versionOf(version)]);
  if (built.kind === "missing") return built;
  if (number === undefined) return { kind: "missing", why: `${version[0]} is not installed` };
  return { ...built, version: number };
}

export interface Simple {
  readonly name: string;
  /** All that stands before the port. */
  readonly tool: () => Promise<Tool>;
  readonly without?: Without;
  readonly env?: Readonly<Record<string, string>>;
  /** So many processes or threads answer; the default is not to look. */
  readonly workers?: number;
  /** What the runtime says otherwise than others, in the pod as anywhere; by key. */
  readonly right?: Readonly<Record<string, string>>;
}

/** A program that is started with its port as its last argument, and answers over HTTP. */
export const simple = ({
  name,
  tool,
  without = {},
  env = {},
  workers = 1,
  right = {},
}: Simple): Row =>
  row({
    name,
    without,
    tool,
    program: (argv) => {
      const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
      return {
        start: ({ port }) => quoted([...["env", ...settings], ...argv, String(port)]),
        ask: async (place) => {
          const answers = await place.askServer({ workers });
          return answers.map((answer) => ({ ...answer, right: { ...right, ...answer.right } }));
        },
      };
    },
  });

/** The same with more arguments. */
export const followedBy = (tool: Tool, ...argv: readonly string[]): Tool =>
  tool.kind === "missing" ? tool : { ...tool, argv: [...tool.argv, ...argv] };
