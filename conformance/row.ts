/** A row of the table: a runtime, what is started for it, and how it is asked. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { type Built, buildProgram, NETWORK, POD_FILES, type Recipe } from "@inpod/sandbox";
import type { Answer, Without } from "./contract.ts";
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

export interface Program {
  /** Of the runtime, for the table. */
  readonly version: string;
  /** A line of sh, run in the place's folder. */
  start(place: Place): string | Promise<string>;
  /** The pod's ports that it takes beside the place's own. */
  readonly otherPorts?: readonly number[];
  /** Default: `askServer`. */
  ask?(place: Place): Promise<readonly Answer[]>;
}

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

const VERSION_TIMEOUT_MS = 20_000;

/** The first word that looks like a version in what a command says; undefined where there is no such command. */
export async function versionOf(argv: readonly string[]): Promise<string | undefined> {
  const [command = "", ...rest] = argv;
  try {
    const said = await promisify(execFile)(command, rest, { timeout: VERSION_TIMEOUT_MS });
    return /\d+(\.\d+)+[\w.-]*/.exec(said.stdout + said.stderr)?.[0] ?? "unknown";
  } catch (error) {
    const { code } = error as { code?: string | number };
    // 127: what a shell says of a program that is not there.
    if (code !== "ENOENT" && code !== "EACCES" && code !== 127) throw error;
    return undefined;
  }
}

export interface Simple {
  readonly name: string;
  readonly recipe: Recipe;
  /** Prints the version; its first word is what the row needs. */
  readonly version: readonly string[];
  readonly without?: Without;
  /** Before the port. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** So many processes or threads answer; the default is not to look. */
  readonly workers?: number;
  readonly prefix?: string;
}

/** A program of ours that is started with its port as its last argument, and answers over HTTP. */
export function simple(options: Simple): Row {
  const { name, recipe, version, without = {}, args = [], env = {}, workers } = options;
  return {
    name,
    without,
    prepare: async () => {
      const [built, number] = await Promise.all([
        buildProgram(recipe) as Promise<Built>,
        versionOf(version),
      ]);
      if (built.kind === "missing") return built;
      if (number === undefined) return { kind: "missing", why: `${version[0]} is not installed` };
      const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
      return {
        kind: "ready",
        program: {
          version: `${options.prefix ?? ""}${number}`,
          start: ({ port }) =>
            quoted([...["env", ...settings], ...built.argv, ...args, String(port)]),
          ...(workers === undefined ? {} : { ask: (place) => place.askServer({ workers }) }),
        },
      };
    },
  };
}
