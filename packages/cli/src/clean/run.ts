/** `inpod clean`: what nobody holds is removed; what somebody may hold is named and left alone. */
import { setMaxListeners } from "node:events";
import { UserError } from "@inpod/protocol";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { type JudgedAgent, judgedAgents } from "./agents.ts";
import type { CleanArguments } from "./arguments.ts";

/** All of it, for a cluster with many agents that do not answer. */
const TIMEOUT_MS = 120_000;

/** @throws UserError when something could not be removed, after everything else has been */
export async function runClean(args: CleanArguments, io: Io): Promise<CommandResult> {
  const { cluster } = await openConfiguredCluster(args, io);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  setMaxListeners(0, signal); // an agent has one each
  try {
    const judged = await judgedAgents(
      cluster,
      args.isEverywhere ? undefined : cluster.namespace,
      signal,
    );
    const failures: unknown[] = [];
    const done = await Promise.all(
      judged.map(async (each): Promise<Outcome> => {
        if (each.judgement.verdict !== "left") return { ...each, action: "kept" };
        if (args.isDryRun) return { ...each, action: "would-remove" };
        try {
          await each.agent.remove(signal);
          return { ...each, action: "removed" };
        } catch (error) {
          failures.push(error);
          return { ...each, action: "failed" };
        }
      }),
    );
    io.stdout.write(
      args.output === "json" ? json(done) : text(done, place(args, cluster.namespace)),
    );
    if (failures.length > 0) throw notClean(failures);
    return { code: 0 };
  } finally {
    cluster.close();
  }
}

interface Outcome extends JudgedAgent {
  readonly action: "kept" | "would-remove" | "removed" | "failed";
}

const place = ({ isEverywhere }: CleanArguments, namespace: string): string =>
  isEverywhere ? "the cluster" : `namespace "${namespace}"`;

const WORDS: Readonly<Record<Outcome["action"], string>> = {
  kept: "kept",
  "would-remove": "would remove",
  removed: "removed",
  failed: "could not remove",
};

function text(outcomes: readonly Outcome[], where: string): string {
  if (outcomes.length === 0) return `nothing of inpod is in ${where}\n`;
  return outcomes
    .map(({ agent: { facts }, judgement, action }) => {
      const owner = facts.owner === undefined ? "" : `, of ${facts.owner}`;
      const target = facts.target === undefined ? "" : ` (for ${facts.target}${owner})`;
      return `${printable(`${WORDS[action]} ${nameOf(facts)}${target}: ${judgement.why}`)}\n`;
    })
    .join("");
}

/** An ephemeral container is named with the pod that it is in. */
export const nameOf = ({
  kind,
  name,
  namespace,
  podName,
}: JudgedAgent["agent"]["facts"]): string =>
  kind === "ephemeral"
    ? `container ${name} of pod/${podName} in namespace "${namespace}"`
    : `${kind}/${name} in namespace "${namespace}"`;

const json = (outcomes: readonly Outcome[]): string =>
  `${JSON.stringify(
    outcomes.map(({ agent: { facts }, judgement, action }) => ({
      kind: facts.kind,
      namespace: facts.namespace,
      name: facts.name,
      session: facts.session,
      owner: facts.owner ?? null,
      target: facts.target ?? null,
      verdict: judgement.verdict,
      why: judgement.why,
      action,
    })),
    undefined,
    2,
  )}\n`;

const notClean = (failures: readonly unknown[]): UserError =>
  new UserError("CLEAN_INCOMPLETE", `${failures.length} could not be removed`, {
    cause: failures[0],
    hints: failures[0] instanceof UserError ? failures[0].hints : [],
  });
