/** One part of `inpod up`, in the process that was started for it. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:os";
import { dirname } from "node:path";
import { UserError } from "@inpod/protocol";
import { openCluster, podsOfTarget, type WorkloadKind } from "@inpod/targets";
import { type Arguments, parseArguments } from "../arguments.ts";
import { loadConfig } from "../config/load.ts";
import type { Flags } from "../config/overrides.ts";
import { clusterOptions } from "../configured-cluster.ts";
import type { PlaceArguments } from "../flags.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { UpPartArguments } from "./arguments.ts";
import { LIFELINE_FD } from "./child.ts";
import { holdLifeline } from "./lifeline.ts";
import { type Planned, plan } from "./plan.ts";
import { readUp } from "./read.ts";

const INFER_TIMEOUT_MS = 30_000;
/** As mirrord looks for a service's target by its name; and a Service. */
const KINDS: readonly (WorkloadKind | "pod")[] = [
  ...(["deployment", "statefulset", "rollout", "service", "pod"] as const),
];
/** Of a shell for one session: they would be every service's. */
const OF_ONE =
  /^(INPOD|MIRRORD)_(CONFIG_FILE|IMPERSONATED_TARGET|TARGET_NAMESPACE|AGENT_TCP_STEAL_TRAFFIC)$/;

/** @param run the command of a session */
export async function runPart(
  args: UpPartArguments,
  io: Io,
  run: (parsed: Arguments, io: Io, argv: readonly string[]) => Promise<CommandResult>,
): Promise<CommandResult> {
  const letGo = holdLifeline(LIFELINE_FD);
  try {
    const read = readUp({ ...io, path: args.file, key: args.key });
    const parts = plan(read, [args.service], args, dirname(read.path), parseArguments);
    const part = parts.find(({ kind }) => kind === args.part);
    if (part === undefined) throw new Error(`no ${args.part} of ${args.service}`);
    if (part.parsed === undefined) return await runProgram(part, io);
    const env = Object.fromEntries(Object.entries(io.env).filter(([name]) => !OF_ONE.test(name)));
    const own = { ...io, env };
    const parsed = withPatch(part.parsed, part, read.path);
    return await run(
      part.isInferred ? await withTarget(parsed, part, own) : parsed,
      own,
      part.words,
    );
  } finally {
    letGo();
  }
}

/** Every command of a session reads its configuration with these. */
const hasFlags = (parsed: Arguments): parsed is Arguments & PlaceArguments => "flags" in parsed;

function withPatch(parsed: Arguments, { patch }: Planned, from: string): Arguments {
  if (!hasFlags(parsed) || Object.keys(patch).length === 0) return parsed;
  return withFlags(parsed, { patch: { tree: patch, from } });
}

const withFlags = <Parsed extends Arguments & PlaceArguments>(
  parsed: Parsed,
  more: Flags,
): Parsed => ({
  ...parsed,
  flags: { ...parsed.flags, ...more },
});

/** @throws UserError TARGET_NOT_FOUND: nothing has its name */
async function withTarget(parsed: Arguments, part: Planned, io: Io): Promise<Arguments> {
  if (!hasFlags(parsed)) return parsed;
  const { env, directory } = io;
  const config = loadConfig({ ...parsed, env, directory });
  if (config.target !== undefined) return parsed;
  const cluster = await openCluster(clusterOptions(config));
  const signal = AbortSignal.timeout(INFER_TIMEOUT_MS);
  try {
    for (const kind of KINDS) {
      const path = { kind, name: part.service, container: undefined } as const;
      const isThere = await isTarget(podsOfTarget(cluster, path, signal));
      if (kind === "pod" || isThere)
        return withFlags(parsed, { target: `${kind}/${part.service}` });
    }
    return parsed;
  } finally {
    cluster.close();
  }
}

/** One that is there and cannot be a target now will say so itself. */
async function isTarget(pods: Promise<unknown>): Promise<boolean> {
  try {
    await pods;
    return true;
  } catch (error) {
    if (!(error instanceof UserError) || /^(KUBE|API_SERVER|UNAUTH|LOGIN)/.test(error.code))
      throw error;
    return !/^(TARGET_NOT_FOUND|TARGET_KIND_UNKNOWN|FORBIDDEN)$/.test(error.code);
  }
}

/** A program beside its service's ports: not tapped, with the signals of our group. */
async function runProgram(
  { words, variables }: Planned,
  { env, stderr }: Io,
): Promise<CommandResult> {
  const ignore = (): void => {};
  const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
  for (const signal of signals) process.on(signal, ignore);
  const [program, ...rest] = words;
  const child = spawn(program, rest, {
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...env, ...variables },
  });
  try {
    const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals];
    return code === null ? { code: 128 + constants.signals[signal] } : { code };
  } catch (error) {
    stderr.write(`inpod: cannot run ${program}: ${(error as Error).message}\n`);
    return { code: (error as NodeJS.ErrnoException).code === "ENOENT" ? 127 : 126 };
  }
}
