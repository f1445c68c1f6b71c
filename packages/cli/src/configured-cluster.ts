/** The cluster that flags, variables and the configuration mean, for commands that need no session. */
import { type Cluster, openCluster } from "@inpod/targets";
import { loadConfig } from "./config/load.ts";
import type { ResolvedConfig } from "./config/resolve.ts";
import type { PlaceArguments } from "./flags.ts";
import type { Io } from "./io.ts";

/** The caller closes the cluster. @throws UserError CONFIG_*, KUBECONFIG_*, CONTEXT_* */
export async function openConfiguredCluster(
  { flags, isFileWanted }: PlaceArguments,
  { env, directory }: Io,
): Promise<{ readonly cluster: Cluster; readonly config: ResolvedConfig }> {
  const config = loadConfig({ flags, env, directory, isFileWanted });
  const { namespace, kubeconfig, context, acceptInvalidCertificates } = config;
  const cluster = await openCluster({ namespace, kubeconfig, context, acceptInvalidCertificates });
  return { cluster, config };
}
