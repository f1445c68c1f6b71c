/** One session of `inpod exec --steal` in which all programs of a group of rows run, each on a port of its own. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { buildProgram, type Sandbox } from "@inpod/sandbox";
import { Inventory, Run, startInpod, until } from "../packages/cli/test/exec-support.ts";
import {
  type Answer,
  all,
  type Cells,
  type Facts,
  judge,
  readFacts,
  unanswered,
} from "./contract.ts";
import { type Group, PATH, type Prepared, type Row } from "./row.ts";
import { musl } from "./rows/compiled.ts";

/** Where a program is asked in the pod itself, for comparison. */
const REFERENCE_PORT = 4000;
/** Of the next program: none has the port of an earlier one, whose neighbour may have left children behind. */
let nextPort = REFERENCE_PORT + 1;
/** Deadlines, for a busy machine: nothing here is about speed. */
const START_TIMEOUT_MS = 120_000;
const ANSWER_TIMEOUT_MS = 60_000;
const SESSION_TIMEOUT_MS = 600_000;
const AT_ONCE = 6;
/** Requests are handed to whichever worker is free: all have answered after some rounds. */
const MOST_ROUNDS = 8;

export interface AskOptions {
  /** So many must have answered. Default: 1. */
  readonly workers?: number;
  /** Default: the question that all programs know. */
  readonly path?: string;
  /** An address. Default: the pod's. */
  readonly host?: string;
  /** Requests. */
  readonly atOnce?: number;
}

/** Where a program runs: its port of the pod, and a folder of its own. */
export interface Place {
  readonly port: number;
  readonly folder: string;
  readonly sandbox: Sandbox;
  /** Resolves when the program has ended. What it wrote. */
  output(): Promise<string>;
  /** What the program has written to its stdout, from the first time that it has written this. */
  writes(what: string): Promise<string>;
  /** Resolves when inpod has said that the program has its ports of the pod. */
  listens(): Promise<void>;
  /** Several requests at once, each on a connection of its own. */
  askServer(options?: AskOptions): Promise<readonly Answer[]>;
  /** Starts a service where the name "neighbour" leads, until the session ends. Resolves with its first line. */
  startBeside(argv: readonly string[]): Promise<string>;
  /** Runs a program there. Its stdout. */
  askBeside(argv: readonly string[]): Promise<string>;
  /** What inpod and all programs of the session have said so far. */
  said(): string;
}

export interface Result {
  readonly name: string;
  readonly cells: Cells;
  /** Of the runtime. Empty where there is none. */
  readonly version: string;
  /** undefined: it ran. */
  readonly missing?: string;
  /** For whoever looks into a "no". */
  readonly told: string;
}

/** What a statically linked program says in the pod: what every other must say in its place. */
export async function askPod(sandbox: Sandbox): Promise<Facts> {
  const built = await buildProgram(musl);
  if (built.kind === "missing") throw new Error(built.why);
  const [path = ""] = built.argv;
  const child = sandbox.inPod([await sandbox.copyIntoPod(path), String(REFERENCE_PORT)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    if (child.stdout === null) throw new Error("no stdout");
    await once(createInterface(child.stdout), "line");
    const request = { port: REFERENCE_PORT, path: PATH, timeoutMs: ANSWER_TIMEOUT_MS };
    return readFacts((await sandbox.request(request)).body);
  } finally {
    child.kill("SIGKILL");
  }
}

export class Session {
  readonly #sandbox: Sandbox;
  readonly #inPod: Facts;
  readonly #folder: string;
  readonly #inventory: Inventory;
  readonly #prepared: ReadonlyMap<Row, Prepared>;
  readonly #ports = new Map<Row, number>();
  /** What could not be started. */
  readonly #failed = new Map<Row, Error>();
  readonly #beside: ChildProcess[] = [];
  #run: Run | undefined;

  private constructor(
    sandbox: Sandbox,
    inPod: Facts,
    folder: string,
    inventory: Inventory,
    prepared: ReadonlyMap<Row, Prepared>,
  ) {
    this.#sandbox = sandbox;
    this.#inPod = inPod;
    this.#folder = folder;
    this.#inventory = inventory;
    this.#prepared = prepared;
  }

  /** Starts all programs of a group that can be had. The caller calls `end`. */
  static async start(
    sandbox: Sandbox,
    inPod: Facts,
    { rows, config = {} }: Group,
  ): Promise<Session> {
    const entries = await Promise.all(rows.map(async (row) => [row, await row.prepare()] as const));
    const folder = await mkdtemp(join(tmpdir(), "inpod-conformance-"));
    // A program that does not want to be root has a folder of its own below.
    await chmod(folder, 0o711);
    const inventory = await Inventory.of(sandbox);
    const session = new Session(sandbox, inPod, folder, inventory, new Map(entries));
    const lines: string[] = [];
    for (const [row, prepared] of entries) {
      if (prepared.kind === "missing") continue;
      const port = nextPort++;
      session.#ports.set(row, port);
      await mkdir(join(folder, String(port)));
      let line: string;
      try {
        line = await prepared.program.start(session.#place(row, port));
      } catch (error) {
        session.#failed.set(row, error as Error);
        continue;
      }
      lines.push(`( cd ${port}; { ${line}\n} >out 2>err; echo "ended ${port} $?" ) &`);
    }
    if (lines.length > 0) {
      const argv = ["sh", "-c", `${lines.join("\n")}\nwait`];
      session.#run = await startInpod(sandbox, argv, {
        flags: ["--steal"],
        config,
        cwd: folder,
        endTimeoutMs: SESSION_TIMEOUT_MS,
      });
    }
    return session;
  }

  async ask(row: Row): Promise<Result> {
    const prepared = this.#prepared.get(row);
    if (prepared === undefined) throw new Error(`${row.name} is not in this session`);
    const { name, without } = row;
    if (prepared.kind === "missing") {
      const { why } = prepared;
      return { name, cells: all({ kind: "none", why }), version: "", missing: why, told: "" };
    }
    const { version } = prepared.program;
    const place = this.#place(row, this.#ports.get(row) ?? 0);
    try {
      const failure = this.#failed.get(row);
      if (failure !== undefined) throw failure;
      if (!prepared.program.listensWhenAsked) await place.listens();
      const answers = await (prepared.program.ask?.(place) ?? place.askServer());
      return {
        name,
        cells: judge(this.#inPod, answers, without),
        version,
        told: await this.#told(place),
      };
    } catch (error) {
      const why = (error as Error).message;
      return { name, cells: unanswered(why, without), version, told: await this.#told(place) };
    }
  }

  /** @throws where something of the session is left */
  async end(): Promise<void> {
    try {
      this.#run?.signalGroup("SIGTERM");
      await this.#run?.ended;
      for (const [row, prepared] of this.#prepared) {
        const port = this.#ports.get(row);
        if (prepared.kind === "missing" || port === undefined) continue;
        await prepared.program.afterwards?.(this.#place(row, port));
      }
      if (this.#run !== undefined) await this.#inventory.assertAsBefore(this.#folder);
    } finally {
      for (const child of this.#beside) child.kill("SIGKILL");
      await rm(this.#folder, { recursive: true, force: true });
    }
  }

  #place(row: Row, port: number): Place {
    const folder = join(this.#folder, String(port));
    const isOver = (): boolean => this.#run?.stdout.includes(`ended ${port} `) ?? false;
    return {
      port,
      folder,
      sandbox: this.#sandbox,
      said: () => this.#run?.stderr ?? "",
      startBeside: (argv) => this.#startBeside(argv),
      askBeside: (argv) => this.#askBeside(argv),
      output: async () => {
        await until(`${row.name} has ended`, isOver, ANSWER_TIMEOUT_MS);
        return readFile(join(folder, "out"), "utf8");
      },
      writes: async (what) => {
        let text = "";
        const isWritten = async (): Promise<boolean> => {
          // Its shell may not have opened it yet.
          text = await readFile(join(folder, "out"), "utf8").catch(() => "");
          return text.includes(what) || isOver();
        };
        await until(`the program writes ${what}`, isWritten, START_TIMEOUT_MS);
        if (!text.includes(what)) throw new Error(`it has ended before it wrote ${what}`);
        return text.slice(text.indexOf(what));
      },
      listens: () => this.#listens(row, port),
      askServer: (options = {}) => this.#askServer(port, options),
    };
  }

  async #startBeside(argv: readonly string[]): Promise<string> {
    const child = this.#sandbox.inClient(argv, { stdio: ["ignore", "pipe", "inherit"] });
    this.#beside.push(child);
    if (child.stdout === null) throw new Error("no stdout");
    const lines = createInterface(child.stdout);
    const signal = AbortSignal.timeout(START_TIMEOUT_MS);
    // Its end is that of its output.
    const [line] = await Promise.race([
      once(lines, "line", { signal }),
      once(lines, "close").then(() => []),
    ]);
    if (line === undefined) throw new Error(`${argv.join(" ")}: it has ended and written nothing`);
    return line as string;
  }

  async #askBeside(argv: readonly string[]): Promise<string> {
    const child = this.#sandbox.inClient(argv, {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: ANSWER_TIMEOUT_MS,
    });
    const { code, stdout, stderr } = await new Run(child).ended;
    if (code !== 0) throw new Error(`${argv[0]} ended with ${code}: ${stderr.trim()}`);
    return stdout;
  }

  async #askServer(
    port: number,
    { workers = 1, path = PATH, host = this.#sandbox.podAddress, atOnce = AT_ONCE }: AskOptions,
  ): Promise<readonly Answer[]> {
    const answers: Answer[] = [];
    const by = new Set<string | undefined>();
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const some = await Promise.all(
        Array.from({ length: atOnce }, async () => {
          const request = { host, port, path, timeoutMs: ANSWER_TIMEOUT_MS };
          const { status, body, local } = await this.#sandbox.request(request);
          if (status !== 200) throw new Error(`it answers with status ${status}`);
          const peer = `${local.address}:${local.port}`;
          return { text: body, right: { peer, local: `${this.#sandbox.podAddress}:${port}` } };
        }),
      );
      answers.push(...some);
      for (const { text } of some) by.add(readFacts(text).get("by")?.[0]);
      if (by.size >= workers) return answers;
    }
    throw new Error(`of ${workers} workers only ${by.size} answered ${answers.length} requests`);
  }

  /** inpod's own line is what a program that knows nothing of this can be awaited by. */
  async #listens(row: Row, port: number): Promise<void> {
    const prepared = this.#prepared.get(row);
    if (row.without.incoming !== undefined || prepared?.kind !== "ready") return;
    const { otherPorts = [] } = prepared.program;
    const run = this.#run as Run;
    const isOver = (): boolean => run.stdout.includes(`ended ${port} `);
    const listens = (each: number): boolean =>
      run.stderr.includes(`port ${each} of the target now arrive`);
    const ports = [port, ...otherPorts];
    const isDue = (): boolean => isOver() || run.child.exitCode !== null || ports.every(listens);
    await until(`${row.name} listens`, isDue, START_TIMEOUT_MS);
    if (isOver() || run.child.exitCode !== null) throw new Error("the program has ended");
  }

  async #told({ folder, said }: Place): Promise<string> {
    const files = await Promise.all(
      ["out", "err"].map((name) => readFile(join(folder, name), "utf8").catch(() => "")),
    );
    return [...files, said()].filter(Boolean).join("\n");
  }
}
