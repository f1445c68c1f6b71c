/** A node, and how much of it is taken, as far as the agent cares. Pure. */
import type { V1Container, V1Node, V1Pod } from "@kubernetes/client-node";
import { quantityOrNone } from "../quantity.ts";

export interface Amounts {
  /** Cores. */
  readonly cpu: number;
  readonly memoryBytes: number;
  readonly pods: number;
}

export interface NodeFacts {
  readonly name: string;
  readonly operatingSystem: string;
  readonly architecture: string;
  /** "5.10.226-214.880.amzn2.x86_64" */
  readonly kernelVersion: string;
  readonly kubeletVersion: string;
  /** "containerd://1.7.22" */
  readonly containerRuntime: string;
  readonly osImage: string;
  readonly allocatable: Amounts;
  /** By the condition's type. */
  readonly conditions: Readonly<
    Record<string, { readonly status: string; readonly message: string }>
  >;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly taints: readonly string[];
  /** Every name under which the node lists an image. The kubelet lists its 50 largest images unless told otherwise. */
  readonly images: readonly string[];
  /** Of how many images that is. */
  readonly imageCount: number;
}

export function nodeFacts(node: V1Node): NodeFacts {
  const info = node.status?.nodeInfo;
  const allocatable = node.status?.allocatable ?? {};
  const images = node.status?.images ?? [];
  return {
    name: node.metadata?.name ?? "",
    operatingSystem: info?.operatingSystem ?? "",
    architecture: info?.architecture ?? "",
    kernelVersion: info?.kernelVersion ?? "",
    kubeletVersion: info?.kubeletVersion ?? "",
    containerRuntime: info?.containerRuntimeVersion ?? "",
    osImage: info?.osImage ?? "",
    allocatable: {
      cpu: quantityOrNone(allocatable.cpu),
      memoryBytes: quantityOrNone(allocatable.memory),
      pods: quantityOrNone(allocatable.pods),
    },
    conditions: Object.fromEntries(
      (node.status?.conditions ?? []).map(({ type, status, message }) => [
        type,
        { status, message: message ?? "" },
      ]),
    ),
    labels: node.metadata?.labels ?? {},
    annotations: node.metadata?.annotations ?? {},
    taints: (node.spec?.taints ?? []).map(({ key }) => key),
    images: images.flatMap(({ names }) => names ?? []),
    imageCount: images.length,
  };
}

/** What the pods of a node ask of it, as the kubelet counts before it takes one more. */
export function takenBy(pods: readonly V1Pod[]): Amounts {
  const alive = pods.filter(
    ({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed",
  );
  return alive.reduce<Amounts>(
    (sum, pod) => {
      const { cpu, memoryBytes } = requestsOf(pod);
      return {
        cpu: sum.cpu + cpu,
        memoryBytes: sum.memoryBytes + memoryBytes,
        pods: sum.pods + 1,
      };
    },
    { cpu: 0, memoryBytes: 0, pods: 0 },
  );
}

type Requests = Omit<Amounts, "pods">;
const NOTHING: Requests = { cpu: 0, memoryBytes: 0 };
const plus = (a: Requests, b: Requests): Requests => ({
  cpu: a.cpu + b.cpu,
  memoryBytes: a.memoryBytes + b.memoryBytes,
});
const larger = (a: Requests, b: Requests): Requests => ({
  cpu: Math.max(a.cpu, b.cpu),
  memoryBytes: Math.max(a.memoryBytes, b.memoryBytes),
});
const requestOf = ({ resources }: V1Container): Requests => ({
  cpu: quantityOrNone(resources?.requests?.cpu),
  memoryBytes: quantityOrNone(resources?.requests?.memory),
});

/**
 * Init containers run one after the other, each beside the sidecars that stand before it; containers
 * and all sidecars run together. (KEP-753, "Resources calculation for scheduling".)
 */
export function requestsOf({ spec }: V1Pod): Requests {
  let sidecars = NOTHING;
  let starting = NOTHING;
  for (const container of spec?.initContainers ?? []) {
    const beside = plus(sidecars, requestOf(container));
    starting = larger(starting, beside);
    if (container.restartPolicy === "Always") sidecars = beside;
  }
  const running = (spec?.containers ?? []).map(requestOf).reduce(plus, sidecars);
  const overhead = spec?.overhead ?? {};
  return plus(larger(starting, running), {
    cpu: quantityOrNone(overhead.cpu),
    memoryBytes: quantityOrNone(overhead.memory),
  });
}
