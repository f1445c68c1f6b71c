/** Where the agent goes, by the target's kind. */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { UserError } from "@inpod/protocol";
import type { Target } from "@inpod/targets";
import { openKubernetes, openProcess } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import { VERSION } from "../version.ts";

export interface OpenedTarget {
  readonly target: Target;
  close(): void;
}

/** @throws UserError */
export async function openTarget(
  config: ResolvedConfig,
  signal: AbortSignal,
): Promise<OpenedTarget> {
  const { target: path = "", agent } = config;
  const process = /^process\/(\d+)$/.exec(path);
  if (process) {
    return { target: openProcess(Number(process[1]), programs()), close: () => {} };
  }
  const target = await openKubernetes({
    target: path,
    namespace: config.namespace,
    kubeconfig: config.kubeconfig,
    context: config.context,
    acceptInvalidCertificates: config.acceptInvalidCertificates,
    agent: {
      image: agent.image ?? `inpod/agent:${VERSION}`,
      imagePullPolicy: agent.imagePullPolicy,
    },
    signal,
  });
  return { target, close: () => target.close() };
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
