/** Which Service brings traffic to a port of a pod, and whether it does so now. Pure. */

import type { V1EndpointSlice, V1Pod, V1Service, V1ServicePort } from "@kubernetes/client-node";
import type { Front } from "../../api.ts";
import { nameOf, targetPortOf } from "./pod-port.ts";

export interface ServiceDoor {
  readonly service: V1Service;
  readonly port: V1ServicePort;
  readonly podPort: number;
}

type Doors =
  | Extract<Front, { kind: "none" | "other-ports" }>
  | { readonly kind: "door"; readonly door: ServiceDoor };

/** @param ports of the pod, in the order in which they count */
export function doorOf(
  pod: V1Pod,
  services: readonly V1Service[],
  ports: readonly number[],
): Doors {
  const leading = services.filter(({ spec }) => isSelected(spec?.selector, pod));
  if (leading.length === 0) return { kind: "none", why: "no Service leads to the pod" };
  const withAddress = leading.filter(({ spec }) => addressOf(spec?.clusterIP) !== undefined);
  if (withAddress.length === 0)
    return {
      kind: "none",
      why: `${nameOf(leading[0])} is headless: its clients find the pod itself`,
    };
  const all = withAddress.flatMap((service) =>
    (service.spec?.ports ?? [])
      .filter(({ protocol = "TCP" }) => protocol === "TCP")
      .map((port) => ({ service, port, podPort: targetPortOf(port, pod) })),
  );
  for (const wanted of ports) {
    const door = all.find(({ podPort }) => podPort === wanted);
    if (door) return { kind: "door", door: { ...door, podPort: wanted } };
  }
  const [first] = all;
  if (first === undefined) return { kind: "none", why: "its Services have no TCP port" };
  const [port = 0] = ports;
  return {
    kind: "other-ports",
    why: `no Service leads to port ${ports.join(", ")} of the pod: ${all.slice(0, 3).map(told).join(", ")}`,
    mapping: first.podPort === undefined ? undefined : [port, first.podPort],
  };
}

/** @param slices of the door's Service */
export function frontOf(
  { service, port, podPort }: ServiceDoor,
  pod: V1Pod,
  slices: readonly V1EndpointSlice[],
): Front {
  const name = nameOf(service);
  const endpoints = slices
    .filter(({ addressType, ports }) => addressType !== "FQDN" && leadsTo(ports, port, podPort))
    .flatMap((slice) => slice.endpoints ?? []);
  // One pod has an endpoint for each family of addresses.
  const ready = new Set(
    endpoints
      .filter(({ conditions }) => conditions?.ready !== false)
      .map(({ targetRef, addresses }) => targetRef?.uid ?? addresses[0]),
  );
  const own = endpoints.filter(({ targetRef }) => targetRef?.uid === pod.metadata?.uid);
  const named = `pod/${pod.metadata?.name}`;
  const others = ready.size === 0 ? "" : `; it sends to ${ready.size} others`;
  if (own.length === 0)
    return {
      kind: "not-now",
      name,
      why: `${named} is none of its endpoints${others}`,
      isUnready: false,
    };
  if (!ready.has(pod.metadata?.uid ?? ""))
    return { kind: "not-now", name, why: `${named} is not ready${others}`, isUnready: true };
  return {
    kind: "service",
    name,
    address: addressOf(service.spec?.clusterIP) ?? "",
    servicePort: port.port,
    podPort,
    endpoints: ready.size,
    isSticky: service.spec?.sessionAffinity === "ClientIP",
    mesh: meshOf(pod),
  };
}

const addressOf = (address: string | undefined): string | undefined =>
  address === undefined || address === "" || address === "None" ? undefined : address;

/** ExternalName, and Services whose endpoints somebody else writes, have none. */
function isSelected(selector: Readonly<Record<string, string>> | undefined, pod: V1Pod): boolean {
  const wanted = Object.entries(selector ?? {});
  const labels = pod.metadata?.labels ?? {};
  return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

const told = ({
  service,
  port,
  podPort,
}: {
  readonly service: V1Service;
  readonly port: V1ServicePort;
  readonly podPort: number | undefined;
}): string => {
  const name = typeof port.targetPort === "string" ? ` named "${port.targetPort}"` : "";
  const to =
    podPort === undefined
      ? `a port${name}, which no container has`
      : `port ${podPort}${name === "" ? "" : ` (the one${name})`}`;
  return `${nameOf(service)} leads from port ${port.port} to ${to}`;
};

const leadsTo = (
  ports: V1EndpointSlice["ports"],
  { name = "" }: V1ServicePort,
  podPort: number,
): boolean => (ports ?? []).some((each) => (each.name ?? "") === name && each.port === podPort);

/** Their proxies answer for the application before it is asked. */
function meshOf({ metadata, spec }: V1Pod): string | undefined {
  const proxy = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find(({ name }) =>
    /^(istio-proxy|linkerd-proxy|kuma-sidecar|consul-dataplane|envoy-sidecar)$/.test(name),
  );
  if (proxy !== undefined) return proxy.name;
  return metadata?.annotations?.["ambient.istio.io/redirection"] === "enabled"
    ? "Istio's ztunnel"
    : undefined;
}
