import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseTarget } from "../src/target-path.ts";

function refusal(text: string): string {
  try {
    parseTarget(text);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return [error.code, error.message, ...error.hints].join(" | ");
  }
  return assert.fail(`"${text}" was accepted`);
}

test("a pod and each kind of workload has a name, and a container if one is wanted", () => {
  assert.deepEqual(parseTarget("pod/a-1.b"), { kind: "pod", name: "a-1.b", container: undefined });
  for (const kind of [
    "pod",
    "deployment",
    "statefulset",
    "daemonset",
    "replicaset",
    "rollout",
    "job",
    "cronjob",
    "service",
  ])
    assert.deepEqual(parseTarget(`${kind}/orders/container/app`), {
      kind,
      name: "orders",
      container: "app",
    });
});

test("labels are all to be had; a label's key may have a slash", () => {
  assert.deepEqual(parseTarget("label/app=web,tier=front"), {
    kind: "label",
    labels: { app: "web", tier: "front" },
    container: undefined,
  });
  assert.deepEqual(parseTarget("label/app.kubernetes.io/name=web/container/app"), {
    kind: "label",
    labels: { "app.kubernetes.io/name": "web" },
    container: "app",
  });
  assert.deepEqual(parseTarget("label/canary="), {
    kind: "label",
    labels: { canary: "" },
    container: undefined,
  });
});

test("processes, containers of engines, and no target at all", () => {
  assert.deepEqual(parseTarget("process/1"), { kind: "process", pid: 1 });
  assert.deepEqual(parseTarget("podman/Web_1.x"), {
    kind: "engine",
    engine: "podman",
    name: "Web_1.x",
  });
  assert.deepEqual(parseTarget("targetless"), { kind: "targetless" });
});

test("what is none of them is refused with what it should be", () => {
  for (const text of [
    "",
    "pod",
    "pod/",
    "pod/A",
    "pod/..",
    "pod/../x",
    "pod/a/b",
    "pod/a/container",
    "pod/a/container/",
    "pod/a/container/c/d",
    "pod/a%2f",
    "deployment/",
    "process/0",
    "process/x",
    "process/1/container/x",
    "docker/",
    "docker/../x",
    "targetless/x",
    "label/",
    "label/a",
    "label/a=b=c",
    "label/a=b,",
    "label/a b=c",
    "label/a=b/container/",
  ])
    assert.match(refusal(text), /^TARGET_INVALID .*--target deployment\//, text);
});

test("the kind that was meant is named, kubectl's short names too", () => {
  assert.match(refusal("pods/x"), /did you mean pod\/…\?/);
  assert.match(refusal("depoyment/x"), /did you mean deployment\/…\?/);
  assert.match(refusal("sts/x"), /did you mean statefulset\/…\?/);
});
