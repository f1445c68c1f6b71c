/** A file server for a test, and programs that use its mount. The test's process itself never does: it relays. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { FileServer, FileServerOptions, FilesLink } from "../../src/index.ts";
import { startFileServer } from "../../src/index.ts";

export function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), "inpod-files-test-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

export interface Result {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The root of the mount is the program's descriptor 3, and its working directory. */
export function start(server: FileServer, command: readonly string[], input = "") {
  const child = spawn("/bin/sh", ["-c", 'cd /proc/self/fd/3 && exec "$@"', "sh", ...command], {
    stdio: ["pipe", "pipe", "pipe", server.rootFd],
    env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8" },
  });
  child.stdin?.end(input);
  const ended = new Promise<Result>((resolve, reject) => {
    let [stdout, stderr] = ["", ""];
    child.stdout?.on("data", (chunk: Buffer) => (stdout += chunk.toString("latin1")));
    child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString("latin1")));
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, ended };
}

export async function run(server: FileServer, ...command: string[]): Promise<Result> {
  return start(server, command).ended;
}

/** What the program says; a failure is the test's. */
export async function output(server: FileServer, ...command: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(server, ...command);
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

export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** Says a path as the tap does, and waits for the answer. */
export async function hint(server: FileServer, path: string): Promise<void> {
  const script = `
import socket, sys
s = socket.socket(fileno=4)
s.settimeout(5)
s.send(b"\\x07\\0\\0\\0" + sys.argv[1].encode())
assert s.recv(100) == b"\\x07\\0\\0\\0"
`;
  const child = spawn("python3", ["-c", script, path], {
    stdio: ["ignore", "ignore", "pipe", "ignore", server.hintFd],
  });
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`the hint about ${path}: ${stderr}`);
}
