/** Users of a cluster who have just the rights that a scenario gives them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { apply, kubectl } from "./kubectl.ts";

/** The kubeconfig of KUBECONFIG, changed. @returns its file */
export async function kubeconfigWith(
  folder: string,
  name: string,
  change: (config: {
    users: { user: object }[];
    clusters: { cluster: Record<string, unknown> }[];
  }) => void,
): Promise<string> {
  const config = JSON.parse(await kubectl("config", "view", "--raw", "--minify", "-o", "json"));
  change(config);
  const file = join(folder, name);
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 });
  return file;
}

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** A service account with one Role. @returns the file of its kubeconfig */
export async function userWith(
  folder: string,
  namespace: string,
  name: string,
  rules: readonly Rule[],
): Promise<string> {
  const api = "rbac.authorization.k8s.io";
  await apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } },
    { apiVersion: `${api}/v1`, kind: "Role", metadata: { name, namespace }, rules },
    {
      apiVersion: `${api}/v1`,
      kind: "RoleBinding",
      metadata: { name, namespace },
      roleRef: { apiGroup: api, kind: "Role", name },
      subjects: [{ kind: "ServiceAccount", name, namespace }],
    },
  );
  const token = (await kubectl("create", "token", name, "-n", namespace)).trim();
  return kubeconfigWith(folder, name, (config) => {
    const [user] = config.users;
    if (user !== undefined) user.user = { token };
  });
}
