/** A container engine by its own command line: it knows where its daemon is, and how its user logs in. */
import { execFile } from "node:child_process";
import { UserError } from "@inpod/protocol";
import type { ContainerEngine } from "../target-path.ts";

const TIMEOUT_MS = 30_000;
const MAX_OUTPUT = 16 * 1024 * 1024;

/** It ran, and ended with a code. */
export class EngineFailure extends Error {
  override readonly name = "EngineFailure";
}

/**
 * The command's stdout.
 *
 * @throws EngineFailure with the engine's own words; UserError ENGINE_NOT_FOUND, ENGINE_UNREACHABLE; the signal's reason
 */
export function runEngine(
  engine: ContainerEngine,
  args: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      engine,
      [...args],
      { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT, ...(signal === undefined ? {} : { signal }) },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else if (signal?.aborted) reject(signal.reason);
        else if (error.code === "ENOENT") reject(engineNotFound(engine));
        else if (error.killed)
          reject(unreachable(engine, `no answer within ${TIMEOUT_MS / 1000} s`));
        else {
          const words = lastWords(stderr) || error.message;
          reject(isUnreachable(words) ? unreachable(engine, words) : new EngineFailure(words));
        }
      },
    );
  });
}

/** Warnings come before the line that says what went wrong. Nothing in it moves a terminal's cursor. */
export const lastWords = (stderr: string): string =>
  stderr
    .trim()
    .split("\n")
    .filter((line) => !/^time="[^"]*" level=(warning|info)/.test(line))
    .slice(-3)
    .join("\n")
    .replace(/[^\x20-\x7e\n]+/g, " ")
    .replace(/^(Error( response from daemon)?|FATA\S*): /, "")
    .slice(0, 1000);

const isUnreachable = (words: string): boolean =>
  /cannot connect to|failed to connect|is the docker daemon running|permission denied.*(socket|sock\b)|unable to connect|cannot access containerd|rootless containerd not running/i.test(
    words,
  );

const engineNotFound = (engine: ContainerEngine): UserError =>
  new UserError("ENGINE_NOT_FOUND", `${engine} is not on this machine`, {
    hints: [`${engine}/NAME is a container that the command ${engine} knows: install it`],
  });

const unreachable = (engine: ContainerEngine, words: string): UserError =>
  new UserError("ENGINE_UNREACHABLE", `${engine} cannot be reached`, {
    hints: [
      `see what it says: ${engine} info`,
      ...(/permission denied/i.test(words)
        ? ["you may not use it: ask for its group, or sudo"]
        : []),
    ],
    cause: new Error(words),
  });
