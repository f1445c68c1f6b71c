/** Which subnets are a cluster's, as far as its user may see it; and by which hosts the API server is reached. */
import type { V1Node, V1Pod, V1Service } from "@kubernetes/client-node";
import type { Cluster } from "../cluster.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError } from "../reach/api-errors.ts";
import { type KubeconfigOptions, loadAccess } from "../reach/kubeconfig.ts";
import { listAll } from "../reach/list.ts";
import { around, isCidr, rangesInRefusal } from "./ranges.ts";

export interface FoundSubnet {
  readonly cidr: string;
  readonly what: "pods" | "services";
}

export interface ClusterSubnets {
  readonly subnets: readonly FoundSubnet[];
  /** What could not be seen, and what was taken in its place: lines for people. */
  readonly unseen: readonly string[];
}

/** One page: of thousands of pods some hundred show the subnets of most nodes. */
const PODS_SEEN = 500;
/** Of no cluster's Services: TEST-NET-1 (RFC 5737). */
const FOREIGN_ADDRESS = "192.0.2.1";

interface Partly {
  readonly cidrs: readonly string[];
  readonly unseen?: string;
}

/**
 * @param addresses of the pod in which the agent is, which is one of them
 * @throws the signal's reason, and what is no refusal
 */
export async function clusterSubnets(
  { api, namespace }: Cluster,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<ClusterSubnets> {
  const [services, pods] = await Promise.all([
    serviceSubnets(api, namespace, signal),
    podSubnets(api, namespace, addresses, signal),
  ]);
  const as =
    (what: FoundSubnet["what"]) =>
    (cidr: string): FoundSubnet => ({ cidr, what });
  return {
    subnets: [...services.cidrs.map(as("services")), ...pods.cidrs.map(as("pods"))],
    unseen: [services, pods].flatMap(({ unseen }) => unseen ?? []),
  };
}

/** Undefined: this user may not, or this version has no such thing. */
async function seen<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof ApiError) return undefined;
    throw error;
  }
}

/** Kubernetes 1.33 has ServiceCIDR objects; the others say it of an address that is outside. */
async function serviceSubnets(
  api: ApiClient,
  namespace: string,
  signal: AbortSignal,
): Promise<Partly> {
  const objects = await seen(
    listAll<{ spec?: { cidrs?: string[] } }>(
      api,
      { group: "networking.k8s.io", resource: "servicecidrs" },
      { signal },
    ),
  );
  const told = (objects ?? []).flatMap(({ spec }) => spec?.cidrs ?? []).filter(isCidr);
  if (told.length > 0) return { cidrs: told };
  const refused = await rangesByRefusal(api, namespace, signal);
  if (refused.length > 0) return { cidrs: refused };
  const services = await seen(
    listAll<V1Service>(api, { group: "", resource: "services", namespace }, { signal }),
  );
  const cidrs = around((services ?? []).flatMap(({ spec }) => spec?.clusterIPs ?? []));
  const why = "the cluster's range of Service addresses is not yours to see";
  return {
    cidrs,
    unseen:
      cidrs.length === 0
        ? `${why}: name it with --include`
        : `${why}; taken from the Services of ${namespace}: ${cidrs.join(", ")} (others: --include)`,
  };
}

/** Nothing is made: it is a dry run, and refused at that. */
async function rangesByRefusal(
  api: ApiClient,
  namespace: string,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    await api.request(
      { verb: "create", group: "", resource: "services", namespace },
      {
        query: { dryRun: "All" },
        body: {
          apiVersion: "v1",
          kind: "Service",
          metadata: { generateName: "inpod-" },
          spec: { clusterIP: FOREIGN_ADDRESS, ports: [{ port: 80 }] },
        },
        signal,
      },
    );
  } catch (error) {
    if (error instanceof ApiError) return rangesInRefusal(error.message);
    throw error;
  }
  return [];
}

async function podSubnets(
  api: ApiClient,
  namespace: string,
  addresses: readonly string[],
  signal: AbortSignal,
): Promise<Partly> {
  const [nodes, everywhere] = await Promise.all([
    seen(listAll<V1Node>(api, { group: "", resource: "nodes" }, { signal })),
    seen(somePods(api, undefined, signal)),
  ]);
  const ofNodes = (nodes ?? []).flatMap(({ spec }) => spec?.podCIDRs ?? []).filter(isCidr);
  const pods = everywhere ?? (await seen(somePods(api, namespace, signal))) ?? [];
  const cidrs = [...ofNodes, ...around([...pods.flatMap(ownAddresses), ...addresses])];
  return {
    cidrs,
    ...(everywhere === undefined && ofNodes.length === 0
      ? {
          unseen: `the cluster's nodes and pods are not yours to see; taken from what is in ${namespace}: ${cidrs.join(", ")} (others: --include)`,
        }
      : {}),
  };
}

async function somePods(
  api: ApiClient,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<readonly V1Pod[]> {
  const { items } = await api.request<{ items: V1Pod[] | null }>(
    {
      verb: "list",
      group: "",
      resource: "pods",
      ...(namespace === undefined ? {} : { namespace }),
    },
    { query: { limit: String(PODS_SEEN) }, signal },
  );
  return items ?? [];
}

/** In its node's network a pod's address is the node's. */
const ownAddresses = ({ spec, status }: V1Pod): string[] =>
  spec?.hostNetwork === true ? [] : (status?.podIPs ?? []).flatMap(({ ip }) => ip ?? []);

/** Names or addresses, with what they are. @throws UserError as openCluster() */
export async function apiServerHosts(
  options: KubeconfigOptions,
): Promise<readonly { readonly host: string; readonly why: string }[]> {
  const { server, proxy } = await loadAccess(options);
  const bare = (url: URL): string => url.hostname.replace(/^\[|\]$/g, "");
  return [
    { host: bare(server), why: "the API server" },
    ...(proxy === undefined ? [] : [{ host: bare(proxy.url), why: "the way to the API server" }]),
  ];
}
