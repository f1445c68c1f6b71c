import assert from "node:assert/strict";
import { test } from "node:test";
import { policyPlaces } from "../src/kubernetes/find/policy.ts";

const pod = (owner: object | undefined, labels: Record<string, string> = {}, policy?: string) => ({
  metadata: {
    name: "orders-7d4f-x",
    labels,
    ...(policy === undefined ? {} : { annotations: { "inpod.dev/policy": policy } }),
    ...(owner === undefined
      ? {}
      : {
          ownerReferences: [
            { apiVersion: "apps/v1", uid: "u", controller: true, kind: "", name: "", ...owner },
          ],
        }),
  },
});

test("a policy stands on the pod, and on the workload that its controller belongs to", () => {
  assert.deepEqual(policyPlaces(pod(undefined, {}, "no-steal")), {
    own: "no-steal",
    workload: undefined,
  });
  for (const [kind, name, labels, expected] of [
    ["ReplicaSet", "orders-7d4f", { "pod-template-hash": "7d4f" }, ["deployment", "orders"]],
    ["ReplicaSet", "web-9a", { "rollouts-pod-template-hash": "9a" }, ["rollout", "web"]],
    ["ReplicaSet", "bare", {}, ["replicaset", "bare"]],
    ["ReplicaSet", "bare", { "pod-template-hash": "other" }, ["replicaset", "bare"]],
    ["StatefulSet", "db", {}, ["statefulset", "db"]],
    ["DaemonSet", "log", {}, ["daemonset", "log"]],
    ["Job", "sum-1", {}, ["job", "sum-1"]],
  ] as const)
    assert.deepEqual(policyPlaces(pod({ kind, name }, labels)).workload, {
      kind: expected[0],
      name: expected[1],
    });
  assert.equal(policyPlaces(pod({ kind: "Unheard", name: "x" })).workload, undefined);
});
