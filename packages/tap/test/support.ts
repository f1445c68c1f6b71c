/** Runs real programs under the tap; a test answers the calls it is about, the rest goes on natively. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { FilterGroup, LaunchedTree, TapEvent, TapPathRule } from "../src/index.ts";
import { launch, Tap } from "../src/index.ts";

export type Handler = (event: TapEvent) => void;

/** A process has one tap; the handler changes from test to test. */
let current: Handler = () => {};
export const tap: Tap = new Tap((event) => current(event));

/** About exactly this path, whatever is done with it. */
export const ruleFor = (text: string, verdict: TapPathRule["verdict"] = "ask"): TapPathRule => ({
  match: "exact",
  text,
  operations: 7,
  verdict,
});

export const letGo: Handler = (event) => {
  if ("token" in event && event.kind !== "relayed") tap.continue(event.token);
};

export interface Ran {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly tree: LaunchedTree;
  /** Resolves when all of the tree has ended and its output is read. */
  readonly done: Promise<Ran>;
}

export async function start(
  command: readonly [string, ...string[]],
  handler: Handler,
  options: { groups?: FilterGroup[]; env?: Record<string, string>; mark?: string } = {},
): Promise<Running> {
  let ended: () => void = () => {};
  const over = new Promise<void>((resolve) => {
    ended = resolve;
  });
  current = (event) => {
    if (event.kind === "end") ended();
    else handler(event);
  };
  // A keeper ends all that have its mark, whoever started them: another file of tests has another one.
  const mark = options.mark ?? `INPOD_SESSION=test-${process.pid}`;
  const [name = "", value = ""] = mark.split("=");
  const tree = await launch(tap, {
    command,
    environment: { PATH: process.env.PATH ?? "", [name]: value, ...options.env },
    groups: options.groups ?? ["network", "files", "hostname"],
    mark,
    onDeath: "stop",
    stdio: "pipe",
  });
  const { child } = tree;
  const output = (stream: NodeJS.ReadableStream | null) =>
    new Promise<string>((resolve) => {
      let text = "";
      stream?.on("data", (chunk: Buffer) => {
        text += chunk.toString();
      });
      stream?.on("end", () => resolve(text));
    });
  const exit = new Promise<[number | null, NodeJS.Signals | null]>((resolve) => {
    child.on("exit", (code, signal) => resolve([code, signal]));
  });
  const done = Promise.all([exit, output(child.stdout), output(child.stderr), over]).then(
    ([[code, signal], stdout, stderr]) => ({ code, signal, stdout, stderr }),
  );
  return { tree, done };
}

export async function run(
  command: readonly [string, ...string[]],
  handler: Handler = letGo,
  options: Parameters<typeof start>[2] = {},
): Promise<Ran> {
  return (await start(command, handler, options)).done;
}

/**
 * Of trees that are over each call was answered once, none by its deadline. A thread of the tap counts what it has
 * answered after the answer, and a program may have ended by then: the numbers may be late.
 */
export async function assertNothingHeld(expiredBefore = 0): Promise<void> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { received, answered, cancelled, expired } = tap.statistics();
    assert.equal(expired, expiredBefore, "calls were answered by their deadline");
    if (received === answered + cancelled) return;
    assert.ok(
      received > answered + cancelled && performance.now() < deadline,
      `of ${received} calls ${answered} were answered and ${cancelled} cancelled`,
    );
    await delay(5);
  }
}

/** Removed when this process ends. */
export const folder: string = mkdtempSync(join(tmpdir(), "inpod-tap-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Compiles a C program with the machine's compiler. */
export function compile(name: string, source: string, ...flags: string[]): string {
  const file = join(folder, `${name}.c`);
  const output = join(folder, name);
  writeFileSync(file, source);
  execFileSync("cc", ["-O1", "-Wall", "-o", output, file, ...flags], { stdio: "inherit" });
  return output;
}

/** A python script in a file of its own. */
export function script(name: string, source: string): string {
  const file = join(folder, name);
  writeFileSync(file, source);
  return file;
}
