/** The trace of a session of `exec`, from its file's first line. */
import { basename, resolve } from "node:path";
import type { LoadedConfig } from "../config/load.ts";
import type { ProgramEnvironment } from "../exec/environment.ts";
import { toText } from "../exec/environment.ts";
import type { Io } from "../io.ts";
import { TraceFile } from "./file.ts";
import { beginOf } from "./format.ts";

/** @throws UserError TRACE_FILE */
export function openTrace(
  file: string,
  loaded: LoadedConfig,
  executable: string,
  { directory, stderr }: Io,
): TraceFile {
  const target = loaded.config.target ?? "";
  const began = new Date().toISOString();
  return new TraceFile({
    path: resolve(directory, file),
    begin: beginOf(loaded, { target, command: basename(executable), began }),
    say: (text) => stderr.write(`inpod: ${text}\n`),
  });
}

const ORIGINS = { pod: "variables are the pod's" } as const;

/** By name, which the program has from whom, and which it has not. */
export function traceEnvironment({ chosen, hidden }: ProgramEnvironment, trace: TraceFile): void {
  const told = (name: string, verdict: string, why: string, key: string): void =>
    trace.call({ pid: 0, call: "env", subject: name, verdict, why, key });
  for (const [name, origin] of chosen.origins) {
    const key = origin === "pod" ? "feature.env.exclude" : `feature.env.${origin}`;
    told(name, origin, origin === "pod" ? ORIGINS.pod : key, key);
  }
  for (const { name, why, key } of chosen.skipped) told(name, "local", why, key);
  for (const name of hidden)
    told(
      name,
      "hidden",
      "it says who you are; the program is the pod",
      "feature.local_credentials",
    );
  for (const name of chosen.unset)
    told(toText(name), "unset", "feature.env.unset", "feature.env.unset");
}
