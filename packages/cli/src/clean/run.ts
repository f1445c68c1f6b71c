/** `inpod clean`: what nobody holds is removed; what somebody may hold is named and left alone. */
import { setMaxListeners } from "node:events";
import { UserError } from "@inpod/protocol";
import { checkNamespace } from "@inpod/targets";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import { type CleanedService, cleanServices, nameOf as selectorOf } from "../recover/services.ts";
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
    const namespace = args.isEverywhere ? undefined : cluster.namespace;
    const judged = await judgedAgents(cluster, namespace, signal);
    // First: a Service that leads to a relay pod would lead to nobody without it.
    const services = await cleanServices(cluster, namespace, {
      signal,
      agents: judged,
      isDryRun: args.isDryRun,
    });
    if (namespace !== undefined && judged.length + services.length === 0)
      await checkNamespace(cluster, signal);
    const failures: unknown[] = services.flatMap(({ failure = [] }) => failure);
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
      args.output === "json"
        ? json(done, services)
        : text(done, services, place(args, cluster.namespace)),
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

const WORDS: Readonly<Record<Outcome["action"] | CleanedService["action"], string>> = {
  kept: "kept",
  "would-restore": "would restore",
  restored: "restored",
  "would-remove": "would remove",
  removed: "removed",
  failed: "could not remove",
};

function text(
  outcomes: readonly Outcome[],
  services: readonly CleanedService[],
  where: string,
): string {
  if (outcomes.length + services.length === 0) return `nothing of inpod is in ${where}\n`;
  const restored = services.map(
    ({ service, action, why }) =>
      `${printable(`${WORDS[action]} ${selectorOf(service)}: ${why}`)}\n`,
  );
  const agents = outcomes.map(({ agent: { facts }, judgement, action }) => {
    const owner = facts.owner === undefined ? "" : `, of ${facts.owner}`;
    const target = facts.target === undefined ? "" : ` (for ${facts.target}${owner})`;
    return `${printable(`${WORDS[action]} ${nameOf(facts)}${target}: ${judgement.why}`)}\n`;
  });
  return [...restored, ...agents].join("");
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

const json = (outcomes: readonly Outcome[], services: readonly CleanedService[]): string =>
  `${JSON.stringify([...services.map(serviceJson), ...outcomes.map(agentJson)], undefined, 2)}\n`;

const serviceJson = ({ service, verdict, why, action }: CleanedService) => ({
  kind: "service",
  namespace: service.namespace,
  name: service.name,
  session: service.note?.holder ?? null,
  owner: service.note?.owner || null,
  target: null,
  ...{ verdict, why, action },
});

const agentJson = ({ agent: { facts }, judgement, action }: Outcome) => ({
  kind: facts.kind,
  namespace: facts.namespace,
  name: facts.name,
  session: facts.session,
  owner: facts.owner ?? null,
  target: facts.target ?? null,
  verdict: judgement.verdict,
  why: judgement.why,
  action,
});

const notClean = (failures: readonly unknown[]): UserError =>
  new UserError("CLEAN_INCOMPLETE", `${failures.length} could not be removed`, {
    cause: failures[0],
    hints: failures[0] instanceof UserError ? failures[0].hints : [],
  });
