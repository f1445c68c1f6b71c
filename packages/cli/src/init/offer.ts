/** The cluster's targets, for `inpod init` to offer. */
import { setMaxListeners } from "node:events";
import { listPurposes, listTargets, openCluster } from "@inpod/targets";
import { loadConfig } from "../config/load.ts";
import { clusterOptions } from "../configured-cluster.ts";
import type { Io } from "../io.ts";
import type { OfferTargets } from "./run.ts";

/** Those that can be used now, workloads first. */
export const offerTargets =
  ({ env, directory }: Io): OfferTargets =>
  async (flags, signal) => {
    // The file is what is to be written: one that is there already has no say.
    const config = loadConfig({ flags, env, directory, isFileLeftOut: true });
    const cluster = await openCluster({
      ...clusterOptions(config),
      purposes: (namespace) => listPurposes(undefined, namespace),
    });
    try {
      const { namespace } = cluster;
      setMaxListeners(0, signal); // all kinds are asked at once
      const query = { kinds: undefined, labelSelector: undefined, namespace, signal };
      const { targets } = await listTargets(cluster, query);
      return targets.filter(({ isUsable }) => isUsable !== false).map(({ path }) => path);
    } finally {
      cluster.close();
    }
  };
