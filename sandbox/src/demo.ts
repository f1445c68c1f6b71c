/**
 * `npm run demo`: a local process takes the place of a pod, without a cluster, told step by step. Exits 0 when all
 * of it was so, else 1 after saying what was not.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { POD_ENVIRONMENT, type Sandbox, startSandbox } from "./index.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SERVER = "examples/orders/server.js";
const SERVER_SAYS = "orders listens on port 3000";
/** The first run may build inpod. */
const TAKE_OVER_TIMEOUT_MS = 120_000;
const END_TIMEOUT_MS = 10_000;
/** After the program's exit, for an agent that is just ending. */
const CLEAN_TIMEOUT_MS = 3_000;
const CLEAN_POLL_MS = 50;
const OUTPUT_LIMIT_LINES = 200;

export interface DemoOptions {
  /** inpod's executable, relative to the checkout or absolute. */
  readonly inpod: string;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** @throws Error with one sentence when a step did not come out as told; the sandbox is gone by then. */
export async function runDemo(options: DemoOptions): Promise<void> {
  const { say } = options;
  await access(`${ROOT}/${SERVER}`);
  say("1. Making a pod out of Linux namespaces: no cluster, nothing installed, gone afterwards.");
  const sandbox = await startSandbox();
  try {
    await tell(sandbox, options);
  } finally {
    await sandbox.stop();
  }
  say("");
  say("Done: the pod, its network and every process of it are gone.");
}

async function tell(sandbox: Sandbox, { inpod, say, signal }: DemoOptions): Promise<void> {
  const { network } = sandbox;
  say(
    `   The pod is called ${network.pod.hostname}, its address is ${sandbox.podAddress}. On this machine its`,
  );
  say(`   main process is number ${sandbox.pid}.`);
  const processesBefore = await sandbox.processes();

  say("");
  say(`2. A client at ${network.client.address} asks the pod's web server on port 3000:`);
  say(`   > ${await askPod(sandbox)}`);

  const argv = [
    inpod,
    "exec",
    "--target",
    `process/${sandbox.pid}`,
    "--steal",
    "--",
    "node",
    SERVER,
  ];
  say("");
  say(`3. Now ${SERVER}, an ordinary program on this machine, takes the pod's place:`);
  say(`   $ ${["inpod", ...argv.slice(1)].join(" ")}`);
  // A process group of its own, to which Ctrl-C can go as from a terminal.
  const session = sandbox.inLaptop(argv, {
    cwd: ROOT,
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  const ended = new Promise<string>((resolve) => {
    session.once("error", (error) => resolve(error.message));
    session.once("exit", (code, signalName) => resolve(signalName ?? `exit code ${code}`));
  });
  const onAbort = (): void => interrupt(session);
  signal.addEventListener("abort", onAbort);
  try {
    await takenOver(session, ended, say, signal);
    say("");
    say("4. The client asks the same address and port again:");
    await showLocalAnswer(sandbox, say);
    say("");
    say("5. Ctrl-C ends the program:");
    interrupt(session);
    say(
      `   inpod ended (${await within(END_TIMEOUT_MS, ended, "inpod did not end after Ctrl-C")})`,
    );
  } finally {
    signal.removeEventListener("abort", onAbort);
    if (session.exitCode === null && session.signalCode === null) kill(session, "SIGKILL");
  }

  say("");
  say("6. The pod answers again, as if nothing had happened:");
  say(`   > ${await askPod(sandbox)}`);
  await nothingLeft(sandbox, processesBefore);
  say("   Nothing is left in the pod: no rule in its network, no process.");
}

async function askPod(sandbox: Sandbox): Promise<string> {
  const { body } = await sandbox.request({});
  const [line = ""] = body.split("\n");
  const expected = `I am the pod, you are ${sandbox.network.client.address}`;
  if (line !== expected) throw new Error(`the pod should have answered "${expected}": ${body}`);
  return line;
}

async function showLocalAnswer(sandbox: Sandbox, say: (line: string) => void): Promise<void> {
  const { body } = await sandbox.request({});
  const answer = parseAnswer(body);
  const { client } = sandbox.network;
  const parts: readonly (readonly [key: string, expected: string, from: string])[] = [
    ["answeredBy", "the local process", "the program on this machine, not the pod"],
    [
      "environment",
      POD_ENVIRONMENT.GREETING,
      "GREETING, an environment variable that only the pod has",
    ],
    [
      "file",
      "greetings from the pod's file",
      `${sandbox.files.greeting}, a file that only the pod has`,
    ],
    [
      "neighbour",
      `greetings to ${sandbox.podAddress}`,
      "http://greetings/, a service that only the pod can find and reach; it sees the pod's address",
    ],
    ["client", client.address, "the client's true address"],
  ];
  for (const [key, expected, from] of parts) {
    if (answer[key] !== expected) {
      throw new Error(`"${key}" of the answer should be "${expected}" (${from}): ${body.trim()}`);
    }
    say(`   > ${key}: ${expected}`);
    say(`       from ${from}`);
  }
}

function parseAnswer(body: string): Readonly<Record<string, unknown>> {
  try {
    const answer: unknown = JSON.parse(body);
    if (typeof answer === "object" && answer !== null) return answer as Record<string, unknown>;
  } catch {
    // Told below: what came is not from the local program.
  }
  throw new Error(`the local process should have answered, but this came: ${body.trim()}`);
}

/** Resolves when the program listens, which is when the pod's port is taken. Shows what it and inpod say. */
async function takenOver(
  session: ChildProcess,
  ended: Promise<string>,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  if (session.stdout === null || session.stderr === null) throw new Error("no pipes to inpod");
  let shown = 0;
  const show = (line: string): void => {
    shown += 1;
    if (shown <= OUTPUT_LIMIT_LINES) say(`   | ${line}`);
  };
  createInterface(session.stderr).on("line", show);
  const lines = createInterface(session.stdout).on("line", show);
  const listens = new Promise<void>((resolve) => {
    lines.on("line", (line) => line === SERVER_SAYS && resolve());
  });
  const failed = ended.then((how) => {
    throw new Error(`inpod ended before the program listened: ${how}`);
  });
  const aborted = once(signal, "abort").then(() => {
    throw new Error("interrupted");
  });
  failed.catch(() => {}); // also rejects at the regular end, when nobody waits for it
  aborted.catch(() => {});
  if (signal.aborted) throw new Error("interrupted");
  const first = Promise.race([listens, failed, aborted]);
  await within(TAKE_OVER_TIMEOUT_MS, first, `the program did not say "${SERVER_SAYS}"`);
}

async function nothingLeft(
  sandbox: Sandbox,
  before: Awaited<ReturnType<Sandbox["processes"]>>,
): Promise<void> {
  const known = new Set(before.map(({ pid }) => pid));
  const deadline = performance.now() + CLEAN_TIMEOUT_MS;
  for (;;) {
    const ruleset = await sandbox.ruleset();
    const processes = (await sandbox.processes()).filter(({ pid }) => !known.has(pid));
    if (ruleset === "" && processes.length === 0) return;
    if (performance.now() > deadline) {
      const left = [ruleset, ...processes.map(({ pid, command }) => `${pid} ${command}`)];
      throw new Error(`something is left in the pod: ${left.filter(Boolean).join("; ")}`);
    }
    await delay(CLEAN_POLL_MS);
  }
}

function interrupt(session: ChildProcess): void {
  kill(session, "SIGINT");
}

function kill(session: ChildProcess, signal: NodeJS.Signals): void {
  if (session.pid === undefined) return;
  try {
    process.kill(-session.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

async function within<T>(timeoutMs: number, promise: Promise<T>, otherwise: string): Promise<T> {
  const timer = new AbortController();
  const late = delay(timeoutMs, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${otherwise} within ${timeoutMs / 1000} s`);
  });
  late.catch(() => {}); // aborted below
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const abort = new AbortController();
  process.once("SIGINT", () => abort.abort());
  process.once("SIGTERM", () => abort.abort());
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  try {
    await runDemo({ inpod: "bin/inpod", say, signal: abort.signal });
  } catch (error) {
    process.stderr.write(`the demo failed: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
