/** `inpod ls`: what can be a target, and why something cannot be one now. */
import { setMaxListeners } from "node:events";
import { type ListedTarget, listPurposes, listTargets, type TargetList } from "@inpod/targets";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { age, type Column, printedTable } from "../text/table.ts";
import type { LsArguments } from "./arguments.ts";

/** All of it, for a cluster with thousands of pods. */
const TIMEOUT_MS = 60_000;

/** @throws UserError */
export async function runLs(args: LsArguments, io: Io): Promise<CommandResult> {
  const { cluster } = await openConfiguredCluster(args, io, (namespace) =>
    listPurposes(args.kinds, args.isEverywhere ? undefined : namespace),
  );
  try {
    const namespace = args.isEverywhere ? undefined : cluster.namespace;
    const { kinds, labelSelector } = args;
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    setMaxListeners(0, signal); // each request has one, and all kinds are asked at once
    const list = await listTargets(cluster, { kinds, namespace, labelSelector, signal });
    for (const { kind, why } of list.notListed)
      io.stderr.write(`inpod: ${kind}: not listed: ${printable(why)}\n`);
    switch (args.output) {
      case "json":
        io.stdout.write(json(list, cluster.contextName, namespace));
        break;
      case "name":
        io.stdout.write(names(list.targets, args));
        break;
      case "table":
        if (list.targets.length === 0) io.stderr.write(`inpod: ${nothing(args, namespace)}\n`);
        else io.stdout.write(rows(list.targets, args, io, cluster.api.nowMs()));
    }
    return { code: 0 };
  } finally {
    cluster.close();
  }
}

const nothing = ({ labelSelector, kinds }: LsArguments, namespace: string | undefined): string =>
  [
    kinds === undefined ? "nothing" : `no ${kinds.join(" or ")}`,
    ...(labelSelector === undefined ? [] : [` with the labels ${labelSelector}`]),
    namespace === undefined ? " in the cluster" : ` in namespace "${namespace}"`,
  ].join("");

const json = (
  { targets, notListed }: TargetList,
  context: string,
  namespace: string | undefined,
): string =>
  `${JSON.stringify({ context, namespace: namespace ?? null, targets, notListed: notListed.map(({ kind, why }) => ({ kind, why })) }, null, 2)}\n`;

/** A path for `--target`; with -A the namespace before it and a tab between. */
const names = (targets: readonly ListedTarget[], args: LsArguments): string =>
  targets
    .flatMap((target) =>
      pathsOf(target, args).map((path) =>
        args.isEverywhere ? `${target.namespace}\t${path}\n` : `${path}\n`,
      ),
    )
    .join("");

const pathsOf = (target: ListedTarget, { areContainersWanted }: LsArguments): string[] =>
  areContainersWanted ? target.containers.map(({ path }) => path) : [target.path];

/** Widths to which names of containers and reasons may be cut. */
const COLUMNS: readonly Column[] = [
  { title: "NAMESPACE" },
  { title: "TARGET" },
  { title: "READY" },
  { title: "AGE", expendable: 2 },
  { title: "NODE", expendable: 3, leastWidth: 8 },
  { title: "CONTAINERS", expendable: 4, leastWidth: 12 },
  { title: "NOT USABLE BECAUSE", expendable: 1, leastWidth: 24 },
];

function rows(targets: readonly ListedTarget[], args: LsArguments, io: Io, nowMs: number): string {
  const cells = targets.flatMap((target) => {
    const { namespace, ready, wanted, createdAt, node, why } = target;
    return pathsOf(target, args).map((path) =>
      [
        args.isEverywhere ? namespace : "",
        path,
        ready === null && wanted === null ? "" : `${ready ?? "?"}/${wanted ?? "?"}`,
        age(createdAt, nowMs),
        node ?? "",
        args.areContainersWanted ? "" : containers(target),
        why ?? "",
      ].map((cell) => printable(cell).replace(/\s+/g, " ")),
    );
  });
  return printedTable(COLUMNS, cells, io.stdout, io.env);
}

/** The one that is meant first. */
const containers = ({ containers: all }: ListedTarget): string =>
  [...all]
    .sort((a, b) => Number(b.isChosen) - Number(a.isChosen))
    .map(({ name }) => name)
    .join(",");
