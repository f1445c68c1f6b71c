/** What the kubelet asks a pod by its network, as the pod's spec says. Pure. */
import { MAX_NODE_ADDRESSES, MAX_PROBES, type PodProbes, type Probe } from "@inpod/protocol";
import type { V1Container, V1HTTPGetAction, V1Pod, V1Probe } from "@kubernetes/client-node";

type Handler = Pick<V1Probe, "httpGet" | "tcpSocket" | "grpc">;

/** Of all its containers: probes, and hooks that are requests. Commands in a container are none of it. */
export function podProbes({ spec, status }: V1Pod): PodProbes {
  const containers = [
    ...(spec?.containers ?? []),
    // Others of them have ended before the pod's containers began.
    ...(spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always"),
  ];
  const addresses = [...(status?.hostIPs ?? []).map(({ ip }) => ip), status?.hostIP];
  return {
    from: [...new Set(addresses.filter((each) => each !== undefined))].slice(0, MAX_NODE_ADDRESSES),
    probes: unique(containers.flatMap(ofContainer)).slice(0, MAX_PROBES),
  };
}

function ofContainer(container: V1Container): Probe[] {
  const { livenessProbe, readinessProbe, startupProbe, lifecycle } = container;
  const handlers: (Handler | undefined)[] = [
    startupProbe,
    readinessProbe,
    livenessProbe,
    lifecycle?.postStart,
    lifecycle?.preStop,
  ];
  return handlers.flatMap((handler) => {
    const probe = handler && probeOf(handler, container);
    return probe === undefined ? [] : [probe];
  });
}

function probeOf({ httpGet, tcpSocket, grpc }: Handler, container: V1Container): Probe | undefined {
  const port = portOf((httpGet ?? tcpSocket ?? grpc)?.port, container);
  if (port === undefined) return undefined;
  if (httpGet !== undefined) return { port, ...httpProbe(httpGet) };
  return { port, kind: tcpSocket === undefined ? "grpc" : "tcp" };
}

/** Of its headers one is looked at; the others may be secrets. */
function httpProbe({ scheme, path, httpHeaders }: V1HTTPGetAction): Omit<Probe, "port"> {
  const own = httpHeaders?.filter(({ name }) => name.toLowerCase() === "user-agent").at(-1);
  return {
    kind: scheme === "HTTPS" ? "https" : "http",
    path: path ?? "/",
    ...(own === undefined ? {} : { userAgent: own.value }),
  };
}

/** A name is the container's own. */
function portOf(port: string | number | undefined, { ports }: V1Container): number | undefined {
  const number =
    typeof port === "string" && !/^\d+$/.test(port)
      ? ports?.find(({ name }) => name === port)?.containerPort
      : Number(port);
  return Number.isInteger(number) && (number ?? 0) > 0 && (number ?? 0) < 65536
    ? number
    : undefined;
}

const unique = (probes: readonly Probe[]): Probe[] => [
  ...new Map(probes.map((probe) => [JSON.stringify(probe), probe])).values(),
];
