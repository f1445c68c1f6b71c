/** What is said of a try through the pod's Service. Pure. */
import type { CanaryResult } from "@inpod/protocol";
import type { Front } from "@inpod/targets";

type Service = Extract<Front, { kind: "service" }>;

/** @param keepsProbes the pod answers its probes itself, also on ports that are taken */
export function frontWords(
  front: Extract<Front, { kind: "other-ports" | "not-now" }>,
  keepsProbes: boolean,
): string {
  if (front.kind === "not-now") {
    const hint =
      front.isUnready && keepsProbes
        ? " (to have your program answer its probes: feature.network.incoming.probes: true)"
        : "";
    return `nothing that is sent to ${front.name} arrives here now: ${front.why}${hint}`;
  }
  const { why, mapping } = front;
  const hint =
    mapping === undefined
      ? ""
      : ` (to stand for it: feature.network.incoming.port_mapping: [[${mapping.join(", ")}]])`;
  return `${why}${hint}`;
}

/** @param policies names of those that hold the pod, where nobody has answered */
export function canaryWords(
  front: Service,
  result: CanaryResult,
  way: "steal" | "mirror",
  policies: readonly string[],
): string {
  const { name, servicePort, podPort } = front;
  const what = `what is sent to port ${servicePort} of ${name} ${way === "steal" ? "arrives here" : "is copied here"}`;
  if (result.isProved) return `${what} (port ${podPort} of the pod): proved in ${result.ms} ms`;
  return `not proved that ${what}: ${whyNot(front, result, policies)}`;
}

function whyNot(
  { address, servicePort, endpoints, isSticky, mesh }: Service,
  { elsewhere, errno, staysInside }: CanaryResult,
  policies: readonly string[],
): string {
  if (staysInside)
    return "the cluster turns the Service's address into the pod's inside the pod (as Cilium does), so that a try from there does not leave it";
  if (elsewhere === 0) {
    const at = `${address}:${servicePort}`;
    const held =
      policies.length === 0 ? "" : `; NetworkPolicies hold the pod: ${policies.join(", ")}`;
    if (errno === "ECONNREFUSED")
      return `${at} refuses connections: its node knows of no endpoint, or a policy refuses them${held}`;
    if (errno === "ETIMEDOUT")
      return `${at} does not answer the pod: a NetworkPolicy, or a node that does not let a pod reach itself through its Service${held}`;
    return `${at} cannot be reached from the pod (${errno ?? "no connection"})${held}`;
  }
  const met = `${elsewhere} ${elsewhere === 1 ? "connection was" : "connections were"} taken by`;
  if (mesh !== undefined)
    return `${met} somebody else, perhaps by ${mesh} in the pod, which stands before its ports`;
  if (endpoints > 1) {
    const sticky = isSticky ? ", which keeps a client with one of them (sessionAffinity)" : "";
    return `${met} others of the Service's ${endpoints} pods${sticky}`;
  }
  return `${met} the pod's own server: something brings them past the pod's netfilter, as some network plugins do, or another program's rules`;
}
