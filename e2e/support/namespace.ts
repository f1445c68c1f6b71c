import { after, before } from "node:test";
import { apply, kubectl, noCluster, waitFor } from "./kubectl.ts";

/**
 * A namespace for one test file, made before its tests and deleted after them. Its name has a
 * random end, so that one of an earlier run which is still being deleted does not matter.
 */
export function useNamespace(
  prefix: string,
  labels: Readonly<Record<string, string>> = {},
): string {
  const name = `${prefix}-${Math.random().toString(36).slice(2, 7)}`;
  if (noCluster) return name;
  before(async () => {
    await apply({ apiVersion: "v1", kind: "Namespace", metadata: { name, labels } });
    // Pods are refused until the controller has made it.
    await waitFor(`the service account of namespace ${name}`, () =>
      kubectl("get", "serviceaccount", "default", "-n", name).catch(() => undefined),
    );
  });
  after(() => kubectl("delete", "namespace", name, "--wait=false"));
  return name;
}
