/** A file server for a test, and programs that use its mount. The test's process itself never does: it relays. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { FileServer, FileServerOptions, FilesLink } from "../../src/index.ts";
import { startFileServer } from "../../src/index.ts";
import { TestAgent } from "./agent.ts";

export function folder(t: TestContext): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), "inpod-files-test-")));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Place {
  readonly server: FileServer;
  /** Where in the pod. `/`: the working directory is as it was. */
  readonly folder: string;
}

/** Whatever is not over by then hangs. Nothing here is slow, but machines are. */
const HANGS_MS = 150_000;

/** The root of the mount is the program's descriptor 3, and the folder below it its working directory. */
export function start({ server, folder: at }: Place, command: readonly string[], input?: string) {
  const script = '[ "$0" = / ] || cd "/proc/self/fd/3$0" && exec "$@"';
  const child = spawn("/bin/sh", ["-c", script, at, ...command], {
    stdio: ["pipe", "pipe", "pipe", server.rootFd],
    env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8" },
  });
  // It may have ended without reading.
  child.stdin?.on("error", () => {});
  if (input !== undefined) child.stdin?.end(input);
  const ended = new Promise<Result>((resolve, reject) => {
    let [stdout, stderr] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString("latin1")));
    child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString("latin1")));
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`hangs: ${command.join(" ")}; it said: ${stdout}${stderr}`));
    }, HANGS_MS);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(late);
      resolve({ code, signal, stdout, stderr });
    });
  });
  return { child, ended };
}

export async function run(place: Place, ...command: string[]): Promise<Result> {
  return start(place, command, "").ended;
}

/** What the program says; a failure is the test's. */
export async function output(place: Place, ...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(place, ...command);
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${stderr}`);
  return stdout;
}

export async function serving(
  t: TestContext,
  link: FilesLink,
  options: Omit<FileServerOptions, "link"> = {},
): Promise<FileServer> {
  const server = await startFileServer({
    link,
    log: (text) => t.diagnostic(text),
    ...options,
  });
  t.after(() => server.close());
  return server;
}

/** For what no program's end tells. */
export async function comes<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`hangs: ${what}`)), HANGS_MS);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Says a path as the tap does, and waits for the answer. */
export async function hint({ server, folder: at }: Place, path: string): Promise<void> {
  const script = `
import socket, sys
s = socket.socket(fileno=4)
s.settimeout(60)
s.send(b"\\x07\\0\\0\\0" + sys.argv[1].encode())
assert s.recv(100) == b"\\x07\\0\\0\\0"
`;
  const child = spawn("python3", ["-c", script, `${at}/${path}`], {
    stdio: ["ignore", "ignore", "pipe", "ignore", server.hintFd],
  });
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the hint about ${path}: ${stderr}`);
}

/** A folder of the target's, filled, and served by the real agent. */
export async function begun(t: TestContext, fill: (root: string) => void = () => {}) {
  const root = folder(t);
  fill(root);
  const agent = await TestAgent.start(t);
  const server = await serving(t, agent);
  agent.asked = [];
  return { server, folder: root, agent };
}
