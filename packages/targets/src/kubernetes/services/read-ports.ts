/** The ports that are wished of a target, with what the cluster says of its Service now. */
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { PortWish, TargetPort } from "../../api.ts";
import type { PodPath } from "../../target-path.ts";
import type { Cluster } from "../cluster.ts";
import { wordsOf } from "../find/moving-target.ts";
import { Reader } from "../find/reader.ts";
import { allDeclared, portOfPods, portOfService } from "./exposed-ports.ts";

/** The target's pods as they are known, whenever they are asked for. */
export interface KnownPods {
  own(): V1Pod;
  pods(): readonly V1Pod[];
}

/** @throws UserError TARGET_PORT_UNKNOWN, those of the API */
export async function readPorts(
  cluster: Cluster,
  path: PodPath,
  wishes: readonly PortWish[],
  signal: AbortSignal,
  known: KnownPods,
): Promise<readonly TargetPort[]> {
  const service = await serviceOf(cluster, path, signal);
  return wishes.map((wish) => {
    const meant =
      service === undefined
        ? portOfPods(wordsOf(path), known.own(), wish)
        : portOfService(service, wish);
    const { protocol, name, servicePort, note } = meant;
    return {
      ...{ protocol, name, servicePort, note },
      address: service && `${service.metadata?.name}.${service.metadata?.namespace}:${servicePort}`,
      own: () => meant.in(known.own()),
      at: (id) => {
        const own = known.own();
        const pod =
          own.metadata?.uid === id
            ? own
            : known.pods().find(({ metadata }) => metadata?.uid === id);
        return pod && meant.in(pod);
      },
    };
  });
}

/** What a Service or, of other targets, the pod's containers name. @throws those of the API */
export async function readDeclaredPorts(
  cluster: Cluster,
  path: PodPath,
  signal: AbortSignal,
  own: V1Pod,
): Promise<readonly PortWish[]> {
  const service = await serviceOf(cluster, path, signal);
  return allDeclared(
    service
      ? (service.spec?.ports ?? [])
      : (own.spec?.containers ?? []).flatMap(({ ports = [] }) =>
          ports.map(({ containerPort: port, protocol }) => ({ port, protocol })),
        ),
  );
}

const serviceOf = async (
  cluster: Cluster,
  path: PodPath,
  signal: AbortSignal,
): Promise<V1Service | undefined> =>
  path.kind === "service"
    ? new Reader(cluster, signal).get<V1Service>("service", path.name)
    : undefined;
