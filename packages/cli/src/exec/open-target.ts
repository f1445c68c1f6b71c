/** Where the agent goes, by the target's kind. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "@inpod/protocol";
import type { KubernetesOptions, PublishWish, Target, TargetPath } from "@inpod/targets";
import { openEngine, openKubernetes, openProcess, openTargetless } from "@inpod/targets";
import { placementOf } from "../agent-placement.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { readsSecrets } from "../config/tls.ts";
import { clusterOptions } from "../configured-cluster.ts";

export interface OpenedTarget {
  readonly target: Target;
  /** Undefined: no cluster. */
  readonly contextName: string | undefined;
  close(): void;
}

export interface OpenWish {
  readonly wantsReplicas?: boolean | undefined;
  /** Whether a relay pod may take a Service's traffic. Undefined: more than traffic is wanted. */
  readonly relay?: KubernetesOptions["relay"];
  /** A Service to lead to the agent of a session without a target. */
  readonly publishes?: PublishWish | undefined;
}

/** @throws UserError */
export async function openTarget(
  path: TargetPath,
  config: ResolvedConfig,
  signal: AbortSignal,
  { wantsReplicas = false, relay, publishes }: OpenWish = {},
): Promise<OpenedTarget> {
  const agent = placementOf(config.agent);
  if (path.kind === "process")
    return { target: openProcess(path.pid, programs()), contextName: undefined, close: () => {} };
  if (path.kind === "engine") {
    const { engine, name } = path;
    const target = await openEngine({ engine, name, programs: programs(), agent, signal });
    return { target, contextName: undefined, close: () => {} };
  }
  const { startupRetry } = config.agent;
  const readsCertificates = readsSecrets(config.tls);
  const options = { ...clusterOptions(config), startupRetry, agent, readsCertificates, signal };
  const target =
    path.kind === "targetless"
      ? await openTargetless({ ...options, publishes })
      : await openKubernetes({ ...options, target: path, wantsReplicas, relay });
  return { target, contextName: target.contextName, close: () => target.close() };
}

/** Beside the bundle, or in dist/ of a checkout. */
function programs(): Parameters<typeof openProcess>[1] {
  const here = dirname(fileURLToPath(import.meta.url));
  const folder = existsSync(join(here, "agent.js")) ? here : join(here, "../../../../dist");
  const paths = {
    enterPath: join(folder, "inpod-enter"),
    nodePath: process.execPath,
    agentPath: join(folder, "agent.js"),
  };
  for (const path of [paths.enterPath, paths.agentPath]) {
    if (!existsSync(path)) throw notBuilt(path);
  }
  return paths;
}

const notBuilt = (path: string): UserError =>
  new UserError("MACHINE_NOT_BUILT", `${path} is not there`, {
    hints: ["in a checkout: npm run build"],
  });
