/** The tap, tried in a process of its own: its threads and what it adopts would stay with the one that tries. */
import { execFile } from "node:child_process";
import type { MachineFacts } from "./facts.ts";

/** Two starts of Node, on a slow machine. */
const PROBE_TIMEOUT_MS = 30_000;
/** Not in --help: for `probeInChild`. */
export const PROBE_FLAG = "--probe-tap";

/** @param script the command line's own, as Node was started with it */
export function probeInChild(script: string): Promise<MachineFacts["tap"]> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [...process.execArgv, script, "doctor", PROBE_FLAG],
      { timeout: PROBE_TIMEOUT_MS, killSignal: "SIGKILL" },
      (error, stdout, stderr) => {
        try {
          resolve(JSON.parse(stdout) as MachineFacts["tap"]);
        } catch {
          const lines = stderr.trim().split("\n");
          const said = lines.find((line) => /error/i.test(line)) ?? lines[0];
          const ended = error?.killed
            ? `nothing within ${PROBE_TIMEOUT_MS / 1000} s`
            : error?.message;
          resolve({ kind: "no-answer", why: said || ended || "it said nothing" });
        }
      },
    );
  });
}

/** The child's part. Loaded by import(): where there is no tap nothing of it is touched. */
export async function runProbe(): Promise<string> {
  const { probeTap } = await import("@inpod/layer/probe");
  return JSON.stringify(await probeTap());
}
