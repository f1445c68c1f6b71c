/** `inpod status`: the sessions on a target or in a namespace, and what of its ports is whose. */
import { setMaxListeners } from "node:events";
import { UserError } from "@inpod/protocol";
import {
  type Agent,
  type Cluster,
  checkNamespace,
  findAgents,
  listServices,
  podsOfTarget,
} from "@inpod/targets";
import { parseTarget } from "@inpod/targets/path";
import { nameOf } from "../clean/run.ts";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { printedTable } from "../text/table.ts";
import type { StatusArguments } from "./arguments.ts";
import { type Asked, askAgent } from "./ask.ts";
import { COLUMNS, rowsOf } from "./rows.ts";
import { holdings, SERVICE_COLUMNS, serviceRows } from "./services.ts";

/** All of it. */
const TIMEOUT_MS = 60_000;
/** Agents that are asked at the same time: each is a connection through the API server. */
const AT_ONCE = 8;

/** @throws UserError */
export async function runStatus(args: StatusArguments, io: Io): Promise<CommandResult> {
  const { cluster, config } = await openConfiguredCluster(args, io);
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  setMaxListeners(0, signal); // an agent has one each
  try {
    const namespace = args.isEverywhere ? undefined : cluster.namespace;
    // Without -t: what runs in the namespace, whatever target the configuration names.
    const target = args.flags.target === undefined ? undefined : config.target;
    const agents = (await agentsOn(cluster, target, namespace, signal)).filter(
      ({ facts }) => facts.state !== "ended" && facts.podName !== undefined,
    );
    if (namespace !== undefined && agents.length === 0) await checkNamespace(cluster, signal);
    const asked: Asked[] = [];
    for (let at = 0; at < agents.length; at += AT_ONCE) {
      const some = agents.slice(at, at + AT_ONCE);
      asked.push(...(await Promise.all(some.map((agent) => askAgent(agent, signal)))));
    }
    if (args.ofServices) return await tellServices(args, io, { cluster, namespace, asked, signal });
    if (args.output === "json") {
      io.stdout.write(json(asked));
      return { code: 0 };
    }
    for (const each of asked)
      if (each.kind === "not-told") io.stderr.write(`inpod: ${printable(notTold(each))}\n`);
    const { isEverywhere, sort } = args;
    const rows = rowsOf(asked, { isEverywhere, sort, nowMs: cluster.api.nowMs() });
    const where = target ?? (namespace === undefined ? "the cluster" : `namespace "${namespace}"`);
    if (rows.length === 0) io.stdout.write(`nobody has a session on ${printable(where)}\n`);
    else io.stdout.write(printedTable(COLUMNS, rows, io.stdout, io.env));
    return { code: 0 };
  } finally {
    cluster.close();
  }
}

interface Found {
  readonly cluster: Cluster;
  readonly namespace: string | undefined;
  readonly asked: readonly Asked[];
  readonly signal: AbortSignal;
}

async function tellServices(
  args: StatusArguments,
  io: Io,
  { cluster, namespace, asked, signal }: Found,
): Promise<CommandResult> {
  const held = holdings(await listServices(cluster, namespace, signal), asked);
  if (args.output === "json") {
    const wanted = held.filter((each) => !args.isHeldOnly || each.holdings.length > 0);
    io.stdout.write(`${JSON.stringify(wanted, undefined, 2)}\n`);
    return { code: 0 };
  }
  for (const each of asked)
    if (each.kind === "not-told") io.stderr.write(`inpod: ${printable(notTold(each))}\n`);
  const rows = serviceRows(held, args);
  const where = namespace === undefined ? "the cluster" : `namespace "${namespace}"`;
  if (rows.length > 0) io.stdout.write(printedTable(SERVICE_COLUMNS, rows, io.stdout, io.env));
  else
    io.stdout.write(
      args.isHeldOnly ? `nobody has a Service in ${where}\n` : `there is no Service in ${where}\n`,
    );
  return { code: 0 };
}

async function agentsOn(
  cluster: Cluster,
  target: string | undefined,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Agent[]> {
  if (target === undefined) return findAgents(cluster, namespace, signal);
  const path = parseTarget(target);
  if (path.kind === "process" || path.kind === "engine" || path.kind === "targetless")
    throw new UserError(
      "TARGET_INVALID",
      `inpod status is for targets in a cluster, not ${target}`,
    );
  const pods = new Set(await podsOfTarget(cluster, path, signal));
  // Agents may live in a namespace of their own.
  return (await findAgents(cluster, namespace, signal)).filter(({ facts }) =>
    pods.has(/^pod\/([^/]+)/.exec(facts.target ?? "")?.[1] ?? ""),
  );
}

const notTold = ({ agent, why }: Extract<Asked, { kind: "not-told" }>): string =>
  `${nameOf(agent.facts)}: what its sessions have is not known: ${why}`;

const json = (asked: readonly Asked[]): string =>
  `${JSON.stringify(
    asked.map((each) => ({
      agent: nameOf(each.agent.facts),
      namespace: each.agent.facts.namespace,
      target: each.agent.facts.target ?? null,
      owner: each.agent.facts.owner ?? null,
      ...(each.kind === "told" ? each.status : { why: each.why }),
    })),
    undefined,
    2,
  )}\n`;
