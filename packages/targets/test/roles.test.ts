import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parse } from "yaml";
import { ApiError, explain } from "../src/kubernetes/reach/api-errors.ts";
import { withRightsTables } from "../src/kubernetes/reach/rights-table.ts";
import {
  type Purpose,
  rightsFor,
  roleYaml,
  sessionPurposes,
} from "../src/kubernetes/reach/roles.ts";

interface Role {
  readonly kind: string;
  readonly metadata: { readonly namespace?: string };
  readonly rules: ReadonlyArray<{ apiGroups: string[]; resources: string[]; verbs: string[] }>;
}
const read = (yaml: string): Role => parse(yaml) as Role;
const may = ({ rules }: Role, verb: string, group: string, resource: string): boolean =>
  rules.some(
    (rule) =>
      rule.apiGroups.includes(group) &&
      rule.resources.includes(resource) &&
      rule.verbs.includes(verb),
  );

test("a right that one operation needs and another only likes to have is needed, and named once", () => {
  const rights = rightsFor(["find pod", "find label"]);
  const lists = rights.filter(({ verb, resource }) => verb === "list" && resource === "pods");
  assert.deepEqual(
    lists.map(({ needed }) => needed),
    ["always"],
  );
});

test("the Role is YAML that the cluster takes, its optional rules last and with their reasons", () => {
  const yaml = roleYaml(rightsFor(["find deployment", "place job"]), "shop");
  const role = read(yaml);
  assert.equal(role.kind, "Role");
  assert.equal(role.metadata.namespace, "shop");
  for (const [verb, group, resource] of [
    ["get", "apps", "deployments"],
    ["list", "apps", "replicasets"],
    ["list", "", "pods"],
    ["watch", "", "pods"],
    ["create", "batch", "jobs"],
    ["delete", "batch", "jobs"],
    ["create", "", "pods/portforward"],
    ["watch", "", "events"],
  ] as const)
    assert.ok(may(role, verb, group, resource), `${verb} ${resource}\n${yaml}`);
  assert.ok(!may(role, "get", "", "services"));
  assert.ok(!may(role, "patch", "batch", "jobs"));
  const [needed = "", rest = ""] = yaml.split(/(?=# optional: )/);
  assert.doesNotMatch(needed, /pods\/log|events/);
  assert.match(rest, /^# optional: \S.*\n- \{/);
  assert.equal(read(roleYaml(rightsFor(["list pod"]), undefined)).kind, "ClusterRole");
});

function role(purposes: readonly Purpose[], namespace: string): Role {
  const call = { verb: "create", group: "batch", resource: "jobs", namespace } as const;
  const message = 'User "eve" cannot create resource "jobs" in API group "batch"';
  const error = explain(new ApiError(call, 403, message, purposes));
  assert.ok(error instanceof UserError);
  assert.match(
    error.message,
    new RegExp(`^user "eve" may not create jobs of API group "batch" in namespace "${namespace}"$`),
  );
  return read(error.hints[0]?.replace(/^.*\n/, "") ?? "");
}

test("a refusal asks for all that was wanted, each thing in its own namespace", () => {
  const together = role(sessionPurposes("cronjob", "shop", undefined), "shop");
  assert.ok(may(together, "get", "batch", "cronjobs") && may(together, "create", "batch", "jobs"));
  const apart = role(sessionPurposes("cronjob", "shop", "tools"), "tools");
  assert.ok(!may(apart, "get", "batch", "cronjobs") && may(apart, "create", "batch", "jobs"));
});

test("who may get a port-forward and not create it is told so, though the API server does not say it", () => {
  const call = { verb: "get", group: "", resource: "pods", subresource: "portforward" } as const;
  const words = (message: string): UserError => {
    const error = explain(new ApiError({ ...call, namespace: "shop", name: "x" }, 403, message));
    assert.ok(error instanceof UserError);
    return error;
  };
  // As Kubernetes 1.35 answers.
  const { code, message, hints } = words('pods "x" is forbidden: ');
  assert.equal(code, "FORBIDDEN");
  assert.match(message, /may not create pods\/portforward "x" in namespace "shop"/);
  assert.match(hints[0] ?? "", /resources: \[pods\/portforward\], verbs: \[create\]/);
  const first = 'pods "x" is forbidden: User "eve" cannot get resource "pods/portforward" in API';
  assert.match(words(first).message, /^user "eve" may not get pods\/portforward/);
  assert.equal(words('pods "x" is forbidden: not on Fridays').code, "REFUSED");
});

test("a refused call that nothing was said about is asked for by itself", () => {
  assert.deepEqual(role([], "shop").rules, [
    { apiGroups: ["batch"], resources: ["jobs"], verbs: ["create"] },
  ]);
});

test("docs/rights.md has the rights of this version (else: npm run config-docs)", () => {
  const document = readFileSync(new URL("../../../docs/rights.md", import.meta.url), "utf8");
  assert.ok(withRightsTables(document) === document, "docs/rights.md is stale");
  assert.match(document, /\| `deployment\/…` +\| get deployments.apps · list pods +\|/);
  assert.match(document, /create, delete jobs.batch/);
});
