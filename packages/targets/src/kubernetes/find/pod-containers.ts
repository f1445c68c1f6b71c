/** The containers of a pod that can be a target's: the spec's own, and init containers that keep running. Pure. */
import type { V1Container, V1ContainerStatus, V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { chooseContainer } from "./choose-container.ts";

export interface PodContainers {
  /** In the order of the spec; sidecars that are init containers last. Ephemeral ones never. */
  readonly known: readonly string[];
  readonly chosen: string | undefined;
  readonly why: string;
}

/** Init containers that keep running: they can be named, but nobody means them. */
export const nativeSidecars = (spec: V1PodSpec | undefined): readonly V1Container[] =>
  (spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always");

/** Of a pod, or of a workload's pod template. */
export function podContainers(template: {
  readonly metadata?: { readonly annotations?: Readonly<Record<string, string>> };
  readonly spec?: V1PodSpec;
}): PodContainers {
  const containers = (template.spec?.containers ?? []).map((each) => each.name);
  const { name, why } = chooseContainer({
    containers,
    annotations: template.metadata?.annotations ?? {},
  });
  return {
    known: [...containers, ...nativeSidecars(template.spec).map((each) => each.name)],
    chosen: name,
    why,
  };
}

export const containerStatus = (pod: V1Pod, name: string): V1ContainerStatus | undefined =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
    (each) => each.name === name,
  );
