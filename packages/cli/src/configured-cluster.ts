/** The cluster that flags, variables and the configuration mean. */
import { type Cluster, type ClusterOptions, openCluster } from "@inpod/targets";
import { loadConfig } from "./config/load.ts";
import type { ResolvedConfig } from "./config/resolve.ts";
import type { PlaceArguments } from "./flags.ts";
import type { Io } from "./io.ts";

/** For commands that need no session. The caller closes the cluster. @throws UserError CONFIG_*, KUBECONFIG_*, CONTEXT_* */
export async function openConfiguredCluster(
  { flags, isFileWanted }: PlaceArguments,
  { env, directory }: Io,
  purposes?: ClusterOptions["purposes"],
): Promise<{ readonly cluster: Cluster; readonly config: ResolvedConfig }> {
  const config = loadConfig({ flags, env, directory, isFileWanted });
  const cluster = await openCluster({ ...clusterOptions(config), purposes });
  return { cluster, config };
}

export const clusterOptions = ({
  namespace,
  kubeconfig,
  context,
  acceptInvalidCertificates,
  useProxy,
}: ResolvedConfig): ClusterOptions => ({
  namespace,
  kubeconfig,
  context,
  acceptInvalidCertificates,
  useProxy,
  takeTerminal,
});

/** A login program that speaks with its user does so on a line of its own, not behind the running step's. */
function takeTerminal(): boolean {
  if (process.stdin.isTTY !== true || process.stderr.isTTY !== true) return false;
  process.stderr.write("\n");
  return true;
}
