/** `inpod verify`: whether anything is left, here and in the cluster. */
import { setMaxListeners } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { UserError } from "@inpod/protocol";
import { type Cluster, type Judgement, listObjects } from "@inpod/targets";
import { type JudgedAgent, judgedAgents } from "../clean/agents.ts";
import { nameOf } from "../clean/run.ts";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import { serviceFindings } from "../recover/services.ts";
import type { CommandResult } from "../result.ts";
import type { VerifyArguments } from "./arguments.ts";
import type { Finding } from "./finding.ts";
import { compare, type Inventory, parseInventory } from "./inventory.ts";
import { machineFindings } from "./machine.ts";

const TIMEOUT_MS = 60_000;

export async function runVerify(args: VerifyArguments, io: Io): Promise<CommandResult> {
  const findings: Finding[] = [];
  let inventory: Inventory = { cluster: {}, unseen: [] };
  if (!args.isMachineOnly) {
    const { cluster } = await openConfiguredCluster(args, io);
    const namespace = args.isEverywhere ? undefined : cluster.namespace;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    setMaxListeners(0, signal); // a dozen lists at once
    try {
      const judged = await judgedAgents(cluster, namespace, signal);
      findings.push(...judged.map(findingOf));
      findings.push(...(await serviceFindings(cluster, namespace, signal, judged)));
      if (args.save !== undefined || args.since !== undefined)
        inventory = await take(cluster, namespace, judged, signal);
    } finally {
      cluster.close();
    }
  }
  if (process.platform === "linux") {
    const { leftOnMachine } = await import("@inpod/routes/left");
    const onMachine = [...machineFindings(), ...leftOnMachine()];
    findings.push(...onMachine.map((each) => ({ where: "machine" as const, ...each })));
  }
  if (args.since !== undefined)
    findings.push(...compare(readInventory(args.since, io.directory), inventory));
  if (args.save !== undefined)
    writeFileSync(resolve(io.directory, args.save), `${JSON.stringify(inventory, undefined, 2)}\n`);
  io.stdout.write(
    args.output === "json" ? `${JSON.stringify(findings, undefined, 2)}\n` : text(findings),
  );
  return { code: findings.some(({ verdict }) => verdict === "left") ? 1 : 0 };
}

const VERDICTS: Readonly<Record<Judgement["verdict"], Finding["verdict"]>> = {
  held: "held",
  starting: "held",
  left: "left",
  entry: "exception",
  unknown: "unknown",
};

const findingOf = ({ agent, judgement }: JudgedAgent): Finding => ({
  where: "cluster",
  what: nameOf(agent.facts),
  verdict: VERDICTS[judgement.verdict],
  why: judgement.why,
});

/** Without inpod's own objects: those have been judged already. */
async function take(
  cluster: Cluster,
  namespace: string | undefined,
  judged: readonly JudgedAgent[],
  signal: AbortSignal,
): Promise<Inventory> {
  const { objects, unseen } = await listObjects(cluster, namespace, signal);
  const ours = new Set(
    judged.flatMap(({ agent: { facts } }) =>
      facts.kind === "ephemeral"
        ? []
        : [`jobs/${facts.namespace}/${facts.name}`, `pods/${facts.namespace}/${facts.podName}`],
    ),
  );
  return {
    cluster: Object.fromEntries([...objects].filter(([name]) => !ours.has(name)).sort()),
    unseen,
  };
}

function readInventory(path: string, directory: string): Inventory {
  try {
    return parseInventory(JSON.parse(readFileSync(resolve(directory, path), "utf8")));
  } catch (cause) {
    throw new UserError("USAGE_INVENTORY", `cannot read the inventory ${path}`, {
      cause,
      hints: ["write one before: inpod verify --save FILE"],
    });
  }
}

const HEADS: readonly (readonly [Finding["verdict"], string])[] = [
  ["left", "left behind"],
  ["unknown", "not known"],
  ["exception", "known exceptions"],
  ["held", "in use"],
  ["other", "changed since, not by inpod"],
];

function text(findings: readonly Finding[]): string {
  const lines = HEADS.flatMap(([verdict, head]) => {
    const some = findings.filter((each) => each.verdict === verdict);
    if (some.length === 0) return [];
    return [`${head}:`, ...some.map(({ what, why }) => `  ${printable(what)}: ${printable(why)}`)];
  });
  const isClean = !findings.some(({ verdict }) => verdict === "left");
  return `${[...lines, isClean ? "nothing is left behind" : "remove it: inpod clean"].join("\n")}\n`;
}
