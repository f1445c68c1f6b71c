/** The objects of a namespace by name and uid, whoever made them: to be compared with those of another time. */
import type { Cluster } from "../cluster.ts";
import { explain, isForbidden, isNotFound } from "../reach/api-errors.ts";
import { listMetadata } from "../reach/list.ts";

/** What a session could possibly leave: each kind with its group. */
const KINDS = [
  ["batch", "jobs"],
  ["", "pods"],
  ["", "services"],
  ["", "endpoints"],
  ["", "configmaps"],
  ["", "secrets"],
  ["", "serviceaccounts"],
  ["coordination.k8s.io", "leases"],
  ["networking.k8s.io", "networkpolicies"],
  ["rbac.authorization.k8s.io", "roles"],
  ["rbac.authorization.k8s.io", "rolebindings"],
] as const;

export interface NamespaceObjects {
  /** `pods/shop/orders-7d4f` → uid */
  readonly objects: ReadonlyMap<string, string>;
  /** Kinds that the user may not list. */
  readonly unseen: readonly string[];
}

/** @param namespace undefined: all. @throws UserError of the API, but for kinds that may not be listed */
export async function listObjects(
  { api }: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<NamespaceObjects> {
  const objects = new Map<string, string>();
  const unseen: string[] = [];
  await Promise.all(
    KINDS.map(async ([group, resource]) => {
      try {
        const found = await listMetadata(api, { group, resource, namespace }, { signal });
        for (const { metadata } of found)
          objects.set(`${resource}/${metadata.namespace}/${metadata.name}`, metadata.uid);
      } catch (error) {
        if (!isForbidden(error) && !isNotFound(error)) throw explain(error);
        unseen.push(resource);
      }
    }),
  );
  return { objects, unseen };
}
