/**
 * What a kubeconfig says and @kubernetes/client-node does not read: `tokenFile`, the groups of an impersonation,
 * and what login programs may ask about their cluster.
 */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import type { Cluster } from "@kubernetes/client-node";
import { parse } from "yaml";

export interface UserExtras {
  /** The file that the user is in. */
  readonly kubeconfig: string;
  readonly tokenFile?: string;
  /** Headers. */
  readonly impersonation?: Readonly<Record<string, string | readonly string[]>>;
}

/** By name. Of several files the first that has a name wins. */
export interface Extras {
  readonly users: Map<string, UserExtras>;
  /** What a cluster has for login programs. */
  readonly clusters: Map<string, unknown>;
}

/** `clusters[].cluster.extensions[].name` */
const EXEC_EXTENSION = "client.authentication.k8s.io/exec";

/** Adds what is in `file`, which client-node has read before: what it is made of is known to be right. */
export function readExtras(file: string, { users, clusters }: Extras): void {
  const config = table(parse(readFileSync(file, "utf8")));
  for (const entry of list(config.users)) {
    const { name, user } = table(entry);
    if (typeof name === "string" && !users.has(name))
      users.set(name, userExtras(file, table(user)));
  }
  for (const entry of list(config.clusters)) {
    const { name, cluster } = table(entry);
    if (typeof name !== "string" || clusters.has(name)) continue;
    const extension = list(table(cluster).extensions)
      .map(table)
      .find((each) => each.name === EXEC_EXTENSION);
    clusters.set(name, extension?.extension);
  }
}

function userExtras(kubeconfig: string, user: Record<string, unknown>): UserExtras {
  const { tokenFile, as, "as-uid": uid, "as-groups": groups, "as-user-extra": extra } = user;
  const impersonation: Record<string, string | readonly string[]> = {};
  if (typeof as === "string" && as !== "") impersonation["Impersonate-User"] = as;
  if (typeof uid === "string" && uid !== "") impersonation["Impersonate-Uid"] = uid;
  if (list(groups).length > 0) impersonation["Impersonate-Group"] = list(groups).map(String);
  for (const [key, values] of Object.entries(table(extra)))
    impersonation[`Impersonate-Extra-${encodeURIComponent(key)}`] = list(values).map(String);
  return {
    kubeconfig,
    ...(typeof tokenFile === "string" && tokenFile !== ""
      ? { tokenFile: resolve(dirname(kubeconfig), tokenFile) }
      : {}),
    ...(Object.keys(impersonation).length > 0 ? { impersonation } : {}),
  };
}

/** `spec.cluster` of an ExecCredential. */
export const execCluster = (cluster: Cluster, { clusters }: Extras): Record<string, unknown> => ({
  server: cluster.server,
  ...(cluster.tlsServerName ? { "tls-server-name": cluster.tlsServerName } : {}),
  ...(cluster.skipTLSVerify ? { "insecure-skip-tls-verify": true } : {}),
  ...authority(cluster),
  ...(cluster.proxyUrl ? { "proxy-url": cluster.proxyUrl } : {}),
  config: clusters.get(cluster.name) ?? null,
});

function authority({ caData, caFile }: Cluster): Record<string, string> {
  const data = caData ?? (caFile ? readFileSync(caFile).toString("base64") : undefined);
  return data === undefined ? {} : { "certificate-authority-data": data };
}

const table = (value: unknown): Record<string, unknown> =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
