/** `inpod init`: a first configuration, by asking or by flags. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { UserError } from "@inpod/protocol";
import { parseTarget, TARGET_EXAMPLES } from "@inpod/targets/path";
import { fileSchema } from "../config/schema.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { InitArguments } from "./arguments.ts";
import type { Dialogue } from "./dialogue.ts";
import { firstConfig, type Wishes } from "./file.ts";

/** Targets of a cluster to choose from, as paths. */
export type OfferTargets = (
  place: Pick<InitArguments, "namespace" | "context" | "kubeconfig">,
  signal: AbortSignal,
) => Promise<readonly string[]>;

/** Whoever is asked does not want to wait for a cluster that is not there. */
const OFFER_MS = 5000;
/** Longer lists scroll away. */
const MAX_OFFERS = 20;
/** After so many answers that cannot be, nobody is there who reads. */
const MAX_TRIES = 5;

/** @param dialogue undefined where nobody can be asked */
export async function runInit(
  args: InitArguments,
  io: Io,
  dialogue: Dialogue | undefined,
  offer: OfferTargets,
): Promise<CommandResult> {
  const path = resolve(io.directory, args.output);
  if (!/\.jsonc?$/i.test(args.output)) throw notJson(args.output);
  if (!args.isForced && existsSync(path)) throw isThere(args.output);
  const wishes = await wishesOf(args, io, dialogue, offer);
  if (wishes === "interrupted") return { signal: "SIGINT" };
  write(path, args, firstConfig(wishes));
  io.stdout.write(`${args.output}\n`);
  io.stderr.write("inpod: written; from now on: inpod exec -- COMMAND\n");
  return { code: 0 };
}

function write(path: string, { output, isForced }: InitArguments, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    // Somebody else may have written it meanwhile.
    writeFileSync(path, text, { flag: isForced ? "w" : "wx" });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EEXIST" && !isForced) throw isThere(output);
    throw new UserError("CONFIG_NOT_WRITTEN", `cannot write ${output}`, { cause });
  }
}

async function wishesOf(
  args: InitArguments,
  io: Io,
  dialogue: Dialogue | undefined,
  offer: OfferTargets,
): Promise<Wishes | "interrupted"> {
  const incoming = args.isSteal ? "steal" : "mirror";
  if (args.target !== undefined) {
    parseTarget(args.target);
    if (args.namespace !== undefined) checkNamespace(args.namespace);
    return { target: args.target, namespace: args.namespace, incoming };
  }
  if (dialogue === undefined) throw nobodyToAsk();
  try {
    return await ask(args, io, dialogue, offer);
  } catch (error) {
    if (error instanceof Interrupted) return "interrupted";
    throw error;
  } finally {
    dialogue.close();
  }
}

class Interrupted extends Error {}

async function ask(
  args: InitArguments,
  io: Io,
  dialogue: Dialogue,
  offer: OfferTargets,
): Promise<Wishes> {
  const say = (line: string) => io.stderr.write(`${printable(line)}\n`);
  /** Asks until `read` takes the answer; what it throws is told. */
  const question = async <Value>(text: string, read: (line: string) => Value): Promise<Value> => {
    for (let tries = 1; ; tries++) {
      const answer = await dialogue.ask(text);
      if (answer.kind === "interrupt") throw new Interrupted();
      if (answer.kind === "end") throw nothingWritten();
      try {
        return read(answer.text.trim());
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        if (tries === MAX_TRIES) throw error;
        say(`  ${error.message}`);
        for (const hint of error.hints) say(`  ${hint}`);
      }
    }
  };

  const namespace =
    args.namespace ??
    (await question("Namespace (Enter: the one of your context): ", (line) => {
      if (line !== "") checkNamespace(line);
      return line === "" ? undefined : line;
    }));
  if (args.namespace !== undefined) checkNamespace(args.namespace);
  const offers = await offered({ ...args, namespace }, offer, say);
  for (const [index, path] of offers.entries()) say(`  ${index + 1}  ${path}`);
  const target = await question(
    offers.length > 0
      ? "Whose place is the program to take (a number, or a path like pod/NAME): "
      : "Whose place is the program to take (a path like pod/NAME or deployment/NAME): ",
    (line) => {
      const path = /^\d+$/.test(line) ? offers[Number(line) - 1] : line;
      if (path === undefined) throw noSuchNumber(offers.length);
      parseTarget(path);
      return path;
    },
  );
  const isSteal =
    args.isSteal ||
    (await question("Answer the pod's clients in its place (steal)? [y/N] ", (line) => {
      if (/^(|n|no)$/i.test(line)) return false;
      if (/^(y|yes)$/i.test(line)) return true;
      throw notYesOrNo();
    }));
  return { target, namespace, incoming: isSteal ? "steal" : "mirror" };
}

async function offered(
  place: Pick<InitArguments, "namespace" | "context" | "kubeconfig">,
  offer: OfferTargets,
  say: (line: string) => void,
): Promise<readonly string[]> {
  try {
    const { namespace, context, kubeconfig } = place;
    const all = await offer({ namespace, context, kubeconfig }, AbortSignal.timeout(OFFER_MS));
    if (all.length > MAX_OFFERS) say(`  ${all.length} targets, of which the first are:`);
    return all.slice(0, MAX_OFFERS);
  } catch (error) {
    say(`  (the cluster's targets cannot be listed: ${(error as Error).message})`);
    return [];
  }
}

function checkNamespace(name: string): void {
  const read = fileSchema.safeParse({ target: { namespace: name } });
  if (read.success) return;
  throw new UserError("USAGE_INVALID", `"${name}" is no namespace`, {
    hints: [read.error.issues[0]?.message ?? ""],
  });
}

const isThere = (file: string): UserError =>
  new UserError("CONFIG_EXISTS", `${file} is there already`, {
    hints: ["write over it: --force", "write elsewhere: --output FILE"],
  });

const notJson = (file: string): UserError =>
  new UserError("USAGE_INVALID", `${file} does not end in .json`, {
    hints: ["it is written as JSON with comments; YAML and TOML can be written by hand"],
  });

const nobodyToAsk = (): UserError =>
  new UserError("USAGE_INVALID", "no target, and no terminal to ask for one", {
    hints: TARGET_EXAMPLES,
  });

const nothingWritten = (): UserError =>
  new UserError("USAGE_INVALID", "no answer: nothing is written");

const noSuchNumber = (count: number): UserError =>
  new UserError("USAGE_INVALID", `the list has the numbers 1 to ${count}`);

const notYesOrNo = (): UserError => new UserError("USAGE_INVALID", "please say y or n");
