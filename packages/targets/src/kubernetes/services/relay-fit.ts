/** Whether a Service's traffic can go through a relay pod, and by which ports. Pure. */
import { ownSelector, sameSelector } from "@inpod/protocol";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import { AGENT_PORT } from "../place/job-spec.ts";
import { targetPortOf } from "./pod-port.ts";

export interface RelayPort {
  /** Of the pods; the relay listens on the same. */
  readonly podPort: number;
  /** By which the Service knows it, where it does not know it by number. */
  readonly name: string | undefined;
}

export type RelayFit =
  | { readonly kind: "fit"; readonly ports: readonly RelayPort[] }
  | { readonly kind: "unfit"; readonly why: string; readonly hint?: string };

/** @param pod one of the Service's own, whose names of ports count */
export function relayFit(service: V1Service, pod: V1Pod): RelayFit {
  const { spec = {} } = service;
  const unfit = (why: string, hint?: string): RelayFit => ({
    kind: "unfit",
    why,
    ...(hint === undefined ? {} : { hint }),
  });
  if (spec.type === "ExternalName") return unfit("it is another name (ExternalName)");
  if (Object.keys(ownSelector(service) ?? {}).length === 0) return unfit("it has no selector");
  if (spec.clusterIP === "None" || !spec.clusterIP)
    return unfit("it is headless: its clients find the pods themselves");
  if (spec.internalTrafficPolicy === "Local")
    return unfit(
      "its internalTrafficPolicy is Local: on nodes without the relay its traffic would be lost",
    );
  if (spec.externalTrafficPolicy === "Local")
    return unfit(
      "its externalTrafficPolicy is Local: what comes in by nodes without the relay would be lost",
    );
  const ports: RelayPort[] = [];
  for (const port of spec.ports ?? []) {
    const { protocol = "TCP", targetPort } = port;
    if (protocol !== "TCP")
      return unfit(`its port ${port.port} is ${protocol}, which a relay pod does not pass on`);
    const podPort = targetPortOf(port, pod);
    if (podPort === undefined)
      return unfit(
        `its port ${port.port} leads to a port named "${targetPort}", which no container of pod/${pod.metadata?.name} has`,
      );
    if (podPort === AGENT_PORT) return unfit(`port ${AGENT_PORT} is the agent's own`);
    const name = typeof targetPort === "string" ? targetPort : undefined;
    if (!ports.some((each) => each.podPort === podPort && each.name === name))
      ports.push({ podPort, name });
  }
  return ports.length === 0 ? unfit("it has no ports") : { kind: "fit", ports };
}

/** What of it a relay does not serve that was made for `service`, the same one some seconds before; for people. */
export function changedSince(service: V1Service, now: V1Service): "selector" | "ports" | undefined {
  if (!sameSelector(ownSelector(service) ?? {}, ownSelector(now) ?? {})) return "selector";
  const ports = ({ spec }: V1Service): string =>
    JSON.stringify(
      (spec?.ports ?? []).map(({ protocol = "TCP", port, targetPort }) => [
        protocol,
        targetPort ?? port,
      ]),
    );
  return ports(service) === ports(now) ? undefined : "ports";
}

export const portNumbers = (ports: readonly RelayPort[]): number[] => [
  ...new Set(ports.map(({ podPort }) => podPort)),
];
