/** `inpod dump`: what is sent to a target is printed here. */
import { type Seen, Watcher } from "@inpod/ports";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { runCopies } from "../services/copies.ts";
import { markWords } from "../services/mark.ts";
import type { ServicePlace, Serving } from "../services/with-service.ts";
import type { DumpArguments } from "./arguments.ts";
import { checkFile, toFile } from "./file.ts";
import { formOf } from "./form.ts";
import { Output, toStdout } from "./output.ts";
import { type DumpedPort, dumpedPorts, portsText, watchPort } from "./ports.ts";

/** @throws UserError */
export async function runDump(args: DumpArguments, io: Io): Promise<CommandResult> {
  const { file } = args;
  if (file !== undefined) checkFile(file);
  return runCopies(
    {
      args,
      io,
      question: "of whose traffic is a dump wanted?",
      does: "prints on another machine what is sent to",
      detail: portsText(args.ports),
    },
    async ({ target, signal }) => {
      const ports = await dumpedPorts(target, args.ports, signal);
      return (place) => dump(args, io, place, ports);
    },
  );
}

async function dump(
  args: DumpArguments,
  io: Io,
  place: ServicePlace,
  ports: readonly DumpedPort[],
): Promise<Serving> {
  const { output: format, file, maxBodyBytes, mark } = args;
  const form = formOf(format, args);
  const failed = (error: Error): void => output.failed(error);
  const output: Output = new Output(file === undefined ? toStdout(io, failed) : toFile(file, form));
  if (file === undefined) output.write(form.begin);
  const lost = new Lost(place.say);
  const watcher = new Watcher({
    maxBodyBytes,
    filter: place.config.layer.incoming.httpFilter?.filter,
    show: (seen: Seen) => {
      const text = form.next(seen);
      if (text === "") lost.leftOut();
      output.write(text);
    },
    whenTaken: (done) => output.whenTaken(done),
    isFull: () => output.isFull,
    onLost: (what) => lost.count(what),
  });
  const close = async (): Promise<void> => {
    watcher.close();
    if (file === undefined) output.write(form.end);
    await output.end();
    lost.tell();
  };
  try {
    for (const port of ports) await watchPort(place, port, watcher.onConnection);
  } catch (error) {
    await close();
    throw error;
  }
  const what = mark === undefined ? "what is sent" : `requests with ${markWords(mark)}`;
  const where = file === undefined ? "is printed" : `is written to ${file}`;
  const notes = ports.flatMap(({ meant }) => meant.note ?? []);
  const ready = ports.map(({ meant: { name } }) => `${what} to ${name} ${where}`);
  return { ready: [...notes, ...ready], close, over: output.over, lost: output.lost };
}

/** What is not in the dump: told when it begins, and how much it was at the end. */
class Lost {
  readonly #say: (line: string) => void;
  readonly #counts = { datagrams: 0, connections: 0 };
  #hasLeftOut = false;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  count(what: "datagrams" | "connections"): void {
    this.#counts[what] += 1;
    if (this.#counts[what] > 1) return;
    this.#say(
      what === "datagrams"
        ? "datagrams are left out: what is printed is not read quickly enough"
        : "connections are left out: there are too many at once",
    );
  }

  leftOut(): void {
    if (!this.#hasLeftOut) this.#say("what is no HTTP request has no place in a HAR: left out");
    this.#hasLeftOut = true;
  }

  tell(): void {
    for (const [what, count] of Object.entries(this.#counts))
      if (count > 1) this.#say(`${count} ${what} were left out`);
  }
}
