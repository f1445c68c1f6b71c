/** The number that a port of a Service has in a pod, as the cluster's own controller finds it. Pure. */
import type { V1Pod, V1Service, V1ServicePort } from "@kubernetes/client-node";

export const nameOf = (service: V1Service | undefined): string =>
  `service/${service?.metadata?.name}`;

/** undefined: no container has a port of that name */
export const targetPortOf = (
  { targetPort, port, protocol = "TCP" }: V1ServicePort,
  pod: V1Pod,
): number | undefined =>
  targetPort === undefined || typeof targetPort === "number"
    ? targetPort || port
    : portNamed(targetPort, protocol, pod);

/** @param protocol "TCP" or "UDP" */
export function portNamed(name: string, protocol: string, { spec }: V1Pod): number | undefined {
  const running = [
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always"),
  ];
  return running
    .flatMap((container) => container.ports ?? [])
    .find((each) => each.name === name && (each.protocol ?? "TCP") === protocol)?.containerPort;
}
