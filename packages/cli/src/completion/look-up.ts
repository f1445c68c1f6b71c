/** Candidates that the kubeconfig and the cluster know. */
import {
  type Cluster,
  contextNames,
  type ListedKind,
  namespaceNames,
  openCluster,
  podLabels,
  targetContainers,
  targetNames,
} from "@inpod/targets";
import { WORKLOADS } from "@inpod/targets/path";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { clusterOptions } from "../configured-cluster.ts";
import type { Io } from "../io.ts";
import { visitAll } from "../running/visit.ts";
import { cached } from "./cache.ts";
import type { Wanted } from "./wanted.ts";

const KINDS: readonly ListedKind[] = ["pod", ...WORKLOADS];
const TIMEOUT_MS = 1_800;

/** @returns whole values, those that do not fit what was typed among them. @throws whatever goes wrong */
export async function lookUp(
  { lookup, value, said }: Wanted & { kind: "lookup" },
  { env, directory }: Io,
): Promise<readonly string[]> {
  if (lookup === "sessions") return sessions(env);
  const kinds = [...KINDS, "label", "process"].map((kind) => `${kind}/`);
  if (lookup === "targets" && !value.includes("/")) return [...kinds, "targetless"];
  const config = configOf(said, env, directory);
  const { kubeconfig, context, namespace } = config;
  if (lookup === "contexts") return contextNames(kubeconfig);
  // What an answer depends on; the file itself may change, and then so may its clusters.
  const place = [env.KUBECONFIG, kubeconfig, context, namespace];
  const ask = (what: string, work: (cluster: Cluster, signal: AbortSignal) => Promise<string[]>) =>
    cached([...place, what], env, async () => {
      // Nobody is asked for a password at a Tab.
      const cluster = await openCluster({ ...clusterOptions(config), takeTerminal: () => false });
      try {
        return await work(cluster, AbortSignal.timeout(TIMEOUT_MS));
      } finally {
        cluster.close();
      }
    });
  if (lookup === "namespaces") return ask("namespaces", namespaceNames);
  if (lookup === "targets" || value.includes("/")) return targets(value, ask);
  const services = ask("service", (cluster, signal) => targetNames(cluster, "service", signal));
  if (lookup === "services") return services;
  // The kinds are there also where Services may not be listed.
  return [...(await services.catch(() => [])), ...kinds];
}

/** By what they can be ended. */
async function sessions(env: NodeJS.ProcessEnv): Promise<readonly string[]> {
  const { visits } = await visitAll(env);
  for (const visit of visits) visit.close();
  return [...new Set(visits.flatMap(({ session }) => [session.target, session.sessionId]))];
}

type Ask = (
  what: string,
  work: (cluster: Cluster, signal: AbortSignal) => Promise<string[]>,
) => Promise<readonly string[]>;

async function targets(value: string, ask: Ask): Promise<readonly string[]> {
  const [word = "", name = "", container] = value.split("/");
  if (word === "label") {
    const labels = await ask("labels", podLabels);
    const [, done = ""] = /^label\/(.*,)?/s.exec(value) ?? [];
    return labels.map((label) => `label/${done}${label}`);
  }
  const kind = KINDS.find((each) => each === word);
  if (kind === undefined) return [];
  if (container !== undefined) {
    const start = `${kind}/${name}/container/`;
    if (!value.startsWith(start)) return [start];
    const names = await ask(`${kind}/${name}`, (cluster, signal) =>
      targetContainers(cluster, kind, name, signal),
    );
    return names.map((each) => `${start}${each}`);
  }
  const names = await ask(kind, (cluster, signal) => targetNames(cluster, kind, signal));
  return names.map((each) => `${kind}/${each}`);
}

/** A configuration that is wrong is told by the command itself, and does not keep Tab from working. */
function configOf(
  said: ReadonlyMap<string, string>,
  env: NodeJS.ProcessEnv,
  directory: string,
): ResolvedConfig {
  const flags = {
    configFile: said.get("--config-file"),
    kubeconfig: said.get("--kubeconfig"),
    context: said.get("--context"),
    namespace: said.get("--target-namespace") ?? said.get("--namespace"),
  };
  try {
    return loadConfig({ flags, env, directory });
  } catch {
    return loadConfig({ flags: { ...flags, configFile: undefined }, env: {}, directory: "/" });
  }
}
