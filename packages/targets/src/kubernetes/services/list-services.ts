/** The Services of a namespace, or of all, with the pods that they select. */
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { Cluster } from "../cluster.ts";
import { explain } from "../reach/api-errors.ts";
import { listAll } from "../reach/list.ts";
import { isOrigin } from "./relay-objects.ts";

export interface ListedService {
  readonly namespace: string;
  readonly name: string;
  /** "80/TCP", by their numbers. */
  readonly ports: readonly string[];
  /** Names; of a Service without a selector none. */
  readonly pods: readonly string[];
  /** Made by a session of inpod, and gone with it. */
  readonly isOurs: boolean;
  /** Who made it, as it says. */
  readonly owner: string | undefined;
}

/** @param namespace undefined: all. @throws UserError FORBIDDEN and those of the API */
export async function listServices(
  { api }: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<ListedService[]> {
  try {
    const [services, pods] = await Promise.all([
      listAll<V1Service>(api, { group: "", resource: "services", namespace }, { signal }),
      listAll<V1Pod>(api, { group: "", resource: "pods", namespace }, { signal }),
    ]);
    return services.filter((each) => !isOrigin(each)).map((service) => listed(service, pods));
  } catch (error) {
    throw explain(error);
  }
}

const isManaged = (metadata: V1Service["metadata"]): boolean =>
  metadata?.labels?.["app.kubernetes.io/managed-by"] === "inpod";

function listed({ metadata, spec }: V1Service, pods: readonly V1Pod[]): ListedService {
  const selector = Object.entries(spec?.selector ?? {});
  const isSelected = ({ metadata: meta }: V1Pod): boolean =>
    selector.length > 0 &&
    meta?.namespace === metadata?.namespace &&
    selector.every(([key, value]) => meta?.labels?.[key] === value);
  return {
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    ports: (spec?.ports ?? []).map(({ port, protocol = "TCP" }) => `${port}/${protocol}`),
    pods: pods.filter(isSelected).map((pod) => pod.metadata?.name ?? ""),
    isOurs: isManaged(metadata),
    owner: metadata?.annotations?.["inpod.dev/owner"],
  };
}
