/** The whole machine in the cluster's network, by routes (Linux, root). */
import { lookup } from "node:dns/promises";
import { UserError } from "@inpod/protocol";
import { namedSubnets, routesPossible, startRoutes } from "@inpod/routes";
import { apiServerHosts, clusterSubnets, type FoundSubnet } from "@inpod/targets";
import { clusterOptions, openConfiguredCluster } from "../configured-cluster.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { runService, type ServicePlace } from "../services/with-service.ts";
import type { ConnectArguments } from "./arguments.ts";

const CLUSTER_MS = 30_000;

/** @param why of the mode, for who did not choose it. @throws UserError */
export async function runRoutes(
  args: ConnectArguments,
  io: Io,
  why: string | undefined,
): Promise<CommandResult> {
  // Before anything is made in the cluster.
  namedSubnets(args.routes);
  const impossible = await routesPossible();
  if (impossible !== undefined) throw noRoutes(impossible);
  return runService(
    {
      ...{ args, io, target: args.target ?? "targetless" },
      question: "whose network?",
      steals: false,
      does: "connects a machine to the network of",
    },
    async () => async (place) => {
      const { session, say, log } = place;
      const { include, exclude, dns } = args.routes;
      const { found, never } = await ofCluster(args, io, place);
      const resolvConf = dns ? (await session.names.files()).resolvConf : undefined;
      const wish = { found, include, exclude, never };
      const routes = await startRoutes({ session, wish, resolvConf, say, log });
      return {
        ready: [...(why === undefined ? [] : [why]), ...routes.ready],
        lost: routes.lost.then((how) => `this machine's routes are gone: ${how}`),
        pause: () => routes.pause(),
        resume: () => routes.resume(),
        close: () => routes.close(),
      };
    },
  );
}

interface OfCluster {
  readonly found: readonly FoundSubnet[];
  readonly never: readonly { readonly address: string; readonly why: string }[];
}

async function ofCluster(args: ConnectArguments, io: Io, place: ServicePlace): Promise<OfCluster> {
  const { signal, say, session, config } = place;
  // The target is a process, or a container of this machine: there is no cluster to be asked.
  if (/^(process|docker|podman|nerdctl)\//.test(place.wished)) return { found: [], never: [] };
  const { cluster } = await openConfiguredCluster(args, io);
  try {
    const inTime = AbortSignal.any([signal, AbortSignal.timeout(CLUSTER_MS)]);
    const [{ subnets, unseen }, hosts] = await Promise.all([
      clusterSubnets(cluster, session.target.addresses, inTime),
      apiServerHosts(clusterOptions(config)),
    ]);
    for (const line of unseen) say(line);
    return { found: subnets, never: (await Promise.all(hosts.map(addressesOf))).flat() };
  } finally {
    cluster.close();
  }
}

/** All that the name has now: a connection to any of them must not be led into itself. */
async function addressesOf({
  host,
  why,
}: {
  readonly host: string;
  readonly why: string;
}): Promise<OfCluster["never"]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => ({ address, why }));
  } catch {
    return []; // it is reached through a proxy that resolves it
  }
}

const noRoutes = (why: string): UserError =>
  new UserError("ROUTES_REFUSED", "this machine can have no routes into the cluster", {
    cause: new Error(why),
    hints: [
      ...(process.geteuid?.() === 0
        ? []
        : ["as root, in your own environment: sudo -E inpod connect …"]),
      "a proxy, for programs that can use one: inpod connect --mode proxy",
    ],
  });
