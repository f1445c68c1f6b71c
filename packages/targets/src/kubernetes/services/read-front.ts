/** What the cluster says of the Services before a pod: two requests, and one more for who asks why. */
import type { V1EndpointSlice, V1NetworkPolicy, V1Pod, V1Service } from "@kubernetes/client-node";
import type { Front } from "../../api.ts";
import { policiesOf } from "../examine/network-policies.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { listAll } from "../reach/list.ts";
import { doorOf, frontOf } from "./front.ts";

/** @throws ApiError, also for a right that is missing: nobody needs this one */
export async function readFront(
  api: ApiClient,
  pod: V1Pod,
  ports: readonly number[],
  signal: AbortSignal,
): Promise<Front> {
  const namespace = pod.metadata?.namespace ?? "";
  const services = await listAll<V1Service>(
    api,
    { group: "", resource: "services", namespace },
    { signal },
  );
  const found = doorOf(pod, services, ports);
  if (found.kind !== "door") return found;
  const slices = await listAll<V1EndpointSlice>(
    api,
    { group: "discovery.k8s.io", resource: "endpointslices", namespace },
    {
      signal,
      labelSelector: `kubernetes.io/service-name=${found.door.service.metadata?.name}`,
    },
  );
  return frontOf(found.door, pod, slices);
}

/** Names of NetworkPolicies that hold the pod. */
export async function readPolicies(
  api: ApiClient,
  { metadata }: V1Pod,
  signal: AbortSignal,
): Promise<string[]> {
  const policies = await listAll<V1NetworkPolicy>(
    api,
    {
      group: "networking.k8s.io",
      resource: "networkpolicies",
      namespace: metadata?.namespace,
    },
    { signal },
  );
  return policiesOf(policies, metadata?.labels ?? {}).map(({ name }) => name);
}
