/** Whether a name is a Service's as a pod would look it up, and has the port that is to be connected to. */
import { UserError } from "@inpod/protocol";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { Endpoint } from "../../api.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { portWords } from "./exposed-ports.ts";
import { nameOf } from "./pod-port.ts";

export interface ServiceName {
  readonly name: string;
  readonly namespace: string;
}

/**
 * Of what names the cluster's DNS has it: NAME, NAME.NAMESPACE, NAME.NAMESPACE.svc and what goes on with its domain. Pure.
 *
 * @param pod whose search domains and /etc/hosts count; undefined: one of our own
 * @returns undefined: it is somebody else's, or absolute
 */
export function serviceNamed(
  host: string,
  namespace: string,
  pod: V1Pod | undefined,
): ServiceName | undefined {
  const { dnsPolicy = "ClusterFirst", hostAliases = [], hostNetwork } = pod?.spec ?? {};
  const isCluster = dnsPolicy === "ClusterFirstWithHostNet" || !hostNetwork;
  if (!dnsPolicy.startsWith("ClusterFirst") || !isCluster) return undefined;
  const written = host.toLowerCase();
  if (hostAliases.some(({ hostnames = [] }) => hostnames.includes(written))) return undefined;
  const labels = written.split(".");
  // Of an IPv4 address there are four, and the third is no "svc".
  const [name = "", where = namespace, service = "svc"] = labels;
  if (service !== "svc" || labels.some((label) => !/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(label)))
    return undefined;
  return /^[a-z]/.test(name) ? { name, namespace: where } : undefined;
}

/** Undefined: it is no reason against connecting. Pure. */
export function noSuchPort(
  service: V1Service,
  { host, port, protocol }: Endpoint,
): UserError | undefined {
  const { type, clusterIP, ports = [] } = service.spec ?? {};
  // Their names lead to addresses that have ports of their own.
  if (type === "ExternalName" || clusterIP === "None" || !clusterIP) return undefined;
  const has = (number: number): boolean =>
    ports.some(
      (each) => each.port === number && (each.protocol ?? "TCP") === protocol.toUpperCase(),
    );
  if (has(port)) return undefined;
  const what = nameOf(service);
  const behind = ports.find(({ targetPort }) => targetPort === port);
  return new UserError(
    "TARGET_PORT_UNKNOWN",
    `${what} has no ${protocol === "udp" ? "UDP port" : "port"} ${port}: connections to ${host}:${port} would all fail`,
    {
      hints: [
        ...(behind === undefined
          ? []
          : [`did you mean ${behind.port}? It leads to ${port} of the pods`]),
        ports.length === 0
          ? "it has no ports"
          : `its ports are: ${ports.map(portWords).join(", ")}`,
        `a port that only its pods have: inpod forward -t ${what} -L LOCAL:${port}`,
      ],
    },
  );
}

/** What cannot be looked up is not refused. @throws UserError TARGET_PORT_UNKNOWN, the signal's reason */
export async function checkService(
  api: ApiClient,
  namespace: string,
  pod: V1Pod | undefined,
  to: Endpoint,
  signal: AbortSignal,
): Promise<void> {
  const named = serviceNamed(to.host, namespace, pod);
  if (named === undefined) return;
  const service = await api
    .request<V1Service>({ verb: "get", group: "", resource: "services", ...named }, { signal })
    .catch(() => undefined);
  signal.throwIfAborted();
  const refusal = service && noSuchPort(service, to);
  if (refusal !== undefined) throw refusal;
}
