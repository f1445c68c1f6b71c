/**
 * `inpod up`: each part is a process of its own, an inpod that leads its own process group, so that a session's end is
 * what it is on a terminal of its own. It ends with us, however we end: it reads a descriptor that only we hold.
 */
import { dirname, resolve } from "node:path";
import { type Arguments, parseArguments } from "../arguments.ts";
import { hasColor, type Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { partWords, type UpArguments } from "./arguments.ts";
import { Child } from "./child.ts";
import { linePrefix } from "./lines.ts";
import { checkFolders, type Planned, plan } from "./plan.ts";
import { readUp } from "./read.ts";

/** Between what ends a part: what it has been asked, asked as SIGTERM asks, and killed. */
const PATIENCE_MS = 20_000;
const LAST_PATIENCE_MS = 10_000;

/** @throws UserError CONFIG_*, USAGE_INVALID */
export async function runUp(args: UpArguments, io: Io): Promise<CommandResult> {
  const read = readUp({ ...io, path: args.file, key: args.key });
  const file = resolve(io.directory, read.path);
  const parse = (argv: readonly string[]): Arguments => parseArguments(argv);
  const parts = plan(read, args.services, args, dirname(file), parse);
  checkFolders(parts, read);
  if (args.isDryRun) {
    for (const part of parts) io.stdout.write(`${part.service}: ${dryLine(part)}\n`);
    return { code: 0 };
  }
  const width = Math.max(...parts.map(({ service }) => service.length));
  const names = [...new Set(parts.map(({ service }) => service))];
  const children = parts.map(
    (part) =>
      new Child(part, partWords(part, args, file, read.key), {
        io,
        prefix: (sink) =>
          linePrefix(part.service, width, names.indexOf(part.service), hasColor(sink, io.env)),
      }),
  );
  return new Supervisor(children, io, args.keepsGoing).ended();
}

class Supervisor {
  readonly #children: readonly Child[];
  readonly #io: Io;
  readonly #keepsGoing: boolean;
  /** The first that failed by itself. */
  #failed: Child | undefined;
  #asked = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(children: readonly Child[], io: Io, keepsGoing: boolean) {
    this.#children = children;
    this.#io = io;
    this.#keepsGoing = keepsGoing;
  }

  async ended(): Promise<CommandResult> {
    const onSignal = (signal: NodeJS.Signals): void => this.#end(signal, `${signal} has come`);
    const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
    for (const signal of signals) process.on(signal, onSignal);
    try {
      await Promise.all(
        this.#children.map(async (child) => {
          await child.ended;
          if (this.#asked === 0) this.#ended(child);
        }),
      );
      return this.#failed?.result ?? { code: 0 };
    } finally {
      clearTimeout(this.#timer);
      for (const signal of signals) process.off(signal, onSignal);
    }
  }

  #ended(child: Child): void {
    const { result } = child;
    const isFailure = "signal" in result || result.code !== 0;
    const how = "signal" in result ? `was ended by ${result.signal}` : `ended with ${result.code}`;
    if (isFailure) this.#failed ??= child;
    // A program beside its ports has come to its end: the ports are of no use without it.
    const siblings = this.#children.filter(
      (each) => each !== child && each.part.service === child.part.service,
    );
    if (!isFailure || this.#keepsGoing) {
      this.#say(`${child.part.service} ${how}`);
      for (const each of siblings) each.end("SIGTERM");
    } else this.#end("SIGTERM", `${child.part.service} ${how}`);
  }

  /** Asked again it is done with more force. */
  #end(signal: NodeJS.Signals, why: string): void {
    const running = this.#children.filter(({ isRunning }) => isRunning);
    const names = [...new Set(running.map(({ part }) => part.service))].join(", ");
    this.#asked++;
    clearTimeout(this.#timer);
    const how = this.#asked > 2 ? "SIGKILL" : this.#asked > 1 ? "SIGTERM" : signal;
    if (running.length > 0)
      this.#say(`${why}: ${how === "SIGKILL" ? "killing" : "ending"} ${names}`);
    for (const child of running) child.end(how);
    if (this.#asked > 2) return;
    const patienceMs = this.#asked > 1 ? LAST_PATIENCE_MS : PATIENCE_MS;
    this.#timer = setTimeout(() => this.#end("SIGTERM", "it takes long"), patienceMs);
  }

  #say(line: string): void {
    this.#io.stderr.write(`inpod: ${line}\n`);
  }
}

/** For people: variables' values are not in it. */
function dryLine({ kind, words, directory, patch, isInferred, service }: Planned): string {
  const line = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : JSON.stringify(word)));
  const keys = Object.keys(patch).length > 0 ? ", with more configuration of the file" : "";
  const target = isInferred ? `, its target found by the name ${service}` : "";
  return `${kind === "session" ? "inpod " : ""}${line.join(" ")}  (in ${directory}${keys}${target})`;
}
