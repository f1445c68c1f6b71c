/** Users of a cluster who have just the rights that a scenario gives them. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Right } from "@inpod/targets";
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

const RBAC = "rbac.authorization.k8s.io";

export interface Rule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
}

/** Just these, as a Role has them. */
export const rulesOf = (rights: readonly Right[]): Rule[] =>
  rights.map(({ verb, group, resource, subresource }) => ({
    apiGroups: [group],
    resources: [subresource === undefined ? resource : `${resource}/${subresource}`],
    verbs: [verb],
  }));

/** A service account with one Role. @returns the file of its kubeconfig */
export async function userWith(
  folder: string,
  namespace: string,
  name: string,
  rules: readonly Rule[],
): Promise<string> {
  await apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace } },
    { apiVersion: `${RBAC}/v1`, kind: "Role", metadata: { name, namespace }, rules },
    binding(namespace, name, { namespace, name }),
  );
  return kubeconfigOf(folder, namespace, name);
}

/** Gives the Role of this name in `namespace` to a service account of any namespace; it may be made later. */
export const binding = (
  namespace: string,
  role: string,
  account: { readonly namespace: string; readonly name: string },
): object => ({
  apiVersion: `${RBAC}/v1`,
  kind: "RoleBinding",
  metadata: { name: account.name, namespace },
  roleRef: { apiGroup: RBAC, kind: "Role", name: role },
  subjects: [{ kind: "ServiceAccount", ...account }],
});

/** Of a service account that is there. @returns its file */
export async function kubeconfigOf(
  folder: string,
  namespace: string,
  name: string,
): Promise<string> {
  const token = (await kubectl("create", "token", name, "-n", namespace)).trim();
  return kubeconfigWith(folder, name, (config) => {
    const [user] = config.users;
    if (user !== undefined) user.user = { token };
  });
}
