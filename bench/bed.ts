/** What all rows stand on: the sandbox, the load generator, and ways into each network. */

import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Sandbox, startSandbox } from "@inpod/sandbox";
import { parentOf } from "./processes.ts";
import { Shell } from "./shell.ts";

const here = dirname(fileURLToPath(import.meta.url));
export const CLI = join(here, "..", "dist", "cli.js");
export const RELAY = join(here, "load", "relay.cjs");
export const HTTP_SERVER = join(here, "load", "http-server.cjs");
/** Of servers in several languages. */
export const SERVERS = join(here, "load", "servers");
export const COUNTER = join(here, "load", "counter.cjs");
/** Of the load generator's far end; see load/net.h. */
export const LOAD_PORT = 7100;
export const LOAD_HTTP_PORT = LOAD_PORT + 3;

const READY_TIMEOUT_MS = 30_000;
const END_TIMEOUT_MS = 10_000;
const CFLAGS = "-std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -static -pthread".split(" ");

export interface Length {
  readonly rounds: number;
  /** Of one sample of load. */
  readonly loadMs: number;
}

/** A network of the sandbox, entered with the machine's own filesystem. */
export type Network = "pod" | "services" | "laptop";

export class Bed {
  readonly sandbox: Sandbox;
  readonly length: Length;
  /** Path of the load generator. */
  readonly load: string;
  /** The developer's project: current folder of every program. */
  readonly folder: string;
  readonly #children = new Set<ChildProcess>();
  readonly #shells = new Set<Shell>();

  private constructor(sandbox: Sandbox, length: Length, folder: string, load: string) {
    this.sandbox = sandbox;
    this.length = length;
    this.folder = folder;
    this.load = load;
  }

  static async make(length: Length): Promise<Bed> {
    const folder = mkdtempSync(join(tmpdir(), "inpod-bench-"));
    const load = join(folder, "bench-load");
    const sources = readdirSync(join(here, "load")).filter((name) => name.endsWith(".c"));
    const paths = sources.map((name) => join(here, "load", name));
    execFileSync("cc", [...CFLAGS, "-o", load, ...paths], { stdio: "inherit" });
    return new Bed(await startSandbox(), length, folder, load);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#shells].map((shell) => shell.end()));
    await Promise.all([...this.#children].map((child) => this.end(child, "SIGTERM")));
    await this.sandbox.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** Runs a program in one network of the sandbox. */
  spawnIn(network: Network, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const all = { cwd: this.folder, ...options };
    if (network === "laptop") return this.#own(this.sandbox.inLaptop(argv, all));
    // The pod's parent is unshare, whose parent, the sandbox's supervisor, lives where the services do.
    const { pid } = this.sandbox;
    const member = network === "pod" ? pid : parentOf(parentOf(pid));
    const user = process.getuid?.() === 0 ? [] : ["--user", "--preserve-credentials"];
    const enter = ["nsenter", "--target", String(member), ...user, "--net"];
    return this.#own(spawn("setpriv", ["--pdeathsig", "KILL", ...enter, ...argv], all));
  }

  /** `node dist/cli.js exec` against the sandbox's pod; `detached`, so that a group of its own can be interrupted. */
  exec(command: readonly string[], flags: readonly string[] = [], options: SpawnOptions = {}) {
    const target = ["--target", `process/${this.sandbox.pid}`];
    return this.spawnIn(
      "laptop",
      [process.execPath, CLI, "exec", ...target, ...flags, "--", ...command],
      { detached: true, ...options },
    );
  }

  /** The same, of the least priority, without --steal. */
  yielding(command: readonly string[], options: SpawnOptions = {}) {
    const target = ["--target", `process/${this.sandbox.pid}`];
    return this.spawnIn(
      "laptop",
      ["chrt", "--idle", "0", process.execPath, CLI, "exec", ...target, "--", ...command],
      { detached: true, ...options },
    );
  }

  shell(name: string, child: ChildProcess): Shell {
    const shell = new Shell(name, child);
    this.#shells.add(shell);
    return shell;
  }

  plainShell(network: Network): Shell {
    return this.shell(network, this.spawnIn(network, ["sh"], { stdio: "pipe" }));
  }

  sessionShell(flags: readonly string[] = []): Shell {
    return this.shell("inpod", this.exec(["sh"], flags, { stdio: "pipe" }));
  }

  /** Waits until it says "ready". */
  async server(child: ChildProcess): Promise<ChildProcess> {
    this.#own(child);
    let words = "";
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-4000);
    });
    if (!child.stdout) throw new Error("a server needs a pipe");
    const lines = createInterface(child.stdout);
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => reject(new Error(`${why}: ${words}`));
      const timer = setTimeout(() => fail("a server was not ready"), READY_TIMEOUT_MS);
      child.once("close", (code) => fail(`a server ended (${code})`));
      lines.on("line", (line) => {
        if (line !== "ready") return;
        clearTimeout(timer);
        resolve();
      });
    });
    return child;
  }

  /** Its own process group where it has one. */
  async end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, "exit");
    const timer = setTimeout(() => child.kill("SIGKILL"), END_TIMEOUT_MS);
    child.kill(signal);
    await ended;
    clearTimeout(timer);
  }

  file(name: string, content: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** A program outside the sandbox, with pipes. */
  start(argv: readonly [string, ...string[]]): ChildProcess {
    const [program, ...rest] = argv;
    return this.#own(spawn(program, rest, { cwd: this.folder, stdio: "pipe" }));
  }

  /** A process that the bed is to end. */
  own(child: ChildProcess): ChildProcess {
    return this.#own(child);
  }

  #own(child: ChildProcess): ChildProcess {
    this.#children.add(child);
    child.once("exit", () => this.#children.delete(child));
    return child;
  }
}
