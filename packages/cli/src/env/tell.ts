/** Variables on their way out: to stdout, or to a file. */
import type { ByteString } from "@inpod/protocol";
import { type ProgramEnvironment, toBytes, toText } from "../exec/environment.ts";
import { type Io, printable } from "../io.ts";
import type { EnvArguments } from "./arguments.ts";
import { type Evaluated, write } from "./evaluated.ts";
import { json, type Origin, type Variable } from "./formats.ts";
import { writePrivate } from "./private-file.ts";
import { explanation, variableTable } from "./table.ts";

/** Names in one line. */
const MAX_NAMES = 10;

export interface Found {
  /** As the agent's place has it: "pod/orders-7d4f/container/app". */
  readonly target: string;
  readonly environment: ProgramEnvironment;
  readonly isOfSpec: boolean;
  /** Names that only the settings of a container without a cluster have. */
  readonly specNames: ReadonlySet<string>;
}

/** @param session variables by which programs come into a session that is kept open */
export function tell(
  found: Found,
  args: EnvArguments,
  io: Io,
  session: readonly Variable[] = [],
): void {
  const { variables: all, hidden, ownNames } = found.environment;
  const ofSession = new Set(session.map(({ name }) => name));
  const every = Object.entries(all)
    .filter(([name]) => !ofSession.has(name))
    .map(([name, value]): Variable => ({ name, value, from: originOf(name, found) }))
    .concat(session)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const removed = ownNames
    .filter((name) => !Object.hasOwn(all, name))
    .map((name) => ({
      name,
      why: hidden.includes(name) ? "it says who you are" : "feature.env.unset",
    }));
  const wanted = args.isAllWanted ? every : every.filter(({ from }) => from !== "local");
  if (args.isExplained) io.stderr.write(explanation(every, removed, found.environment, io));
  const { format, areValuesShown } = args;
  if (format === "table") {
    const text = variableTable(wanted, areValuesShown, io);
    if (args.output === undefined) io.stdout.write(text);
    else writePrivate(args.output, toBytes(text), io);
    if (!areValuesShown) io.stderr.write("inpod: values are not shown (--show-values)\n");
    return;
  }
  const bytes =
    format === "json"
      ? json({ target: found.target, areValuesShown, variables: wanted, removed })
      : evaluated(format, wanted, removed, io);
  if (args.output === undefined) writeBytes(bytes, io);
  else writePrivate(args.output, bytes, io);
}

function originOf(name: ByteString, { environment, isOfSpec, specNames }: Found): Origin {
  const origin = environment.chosen.origins.get(name) ?? "local";
  const isSpec = origin === "pod" && (isOfSpec || specNames.has(toText(name)));
  return isSpec ? "spec" : origin;
}

function evaluated(
  format: Evaluated,
  variables: readonly Variable[],
  removed: readonly { readonly name: ByteString }[],
  io: Io,
): ByteString {
  const written = write(
    format,
    variables,
    removed.map(({ name }) => name),
  );
  if (written.left.length === 0) return written.bytes;
  const names = written.left
    .slice(0, MAX_NAMES)
    .map(({ name, why }) => `${printable(toText(name)).replace(/\s/g, " ")} (${why})`);
  const more = written.left.length - names.length;
  const list = names.join(", ") + (more > 0 ? ` and ${more} more` : "");
  io.stderr.write(`inpod: left out of --format ${format}: ${list}\n`);
  return written.bytes;
}

/** A file or a program gets every byte as it is; a terminal must not be steered by a pod's values. */
export function writeBytes(bytes: ByteString, io: Io): void {
  if (!io.stdout.isTTY) {
    io.stdout.write(Buffer.from(bytes, "latin1"));
    return;
  }
  const text = toText(bytes);
  const shown = printable(text);
  io.stdout.write(shown);
  if (shown !== text)
    io.stderr.write(
      "inpod: control characters are shown as \ufffd on a terminal, and only there\n",
    );
}
