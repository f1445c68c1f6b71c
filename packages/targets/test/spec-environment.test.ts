import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Container, V1Pod } from "@kubernetes/client-node";
import { environmentOf, type Sources } from "../src/kubernetes/find/spec-environment.ts";
import { quantity } from "../src/kubernetes/quantity.ts";

const pod = (container: Partial<V1Container>): V1Pod => ({
  metadata: { name: "orders-1", namespace: "shop", uid: "u", labels: { app: "orders" } },
  spec: {
    nodeName: "node-1",
    serviceAccountName: "robot",
    containers: [{ name: "beside" }, { name: "app", ...container }],
  },
  status: {
    podIP: "10.0.0.7",
    podIPs: [{ ip: "10.0.0.7" }, { ip: "fd00::7" }],
    hostIP: "10.0.1.1",
  },
});
const read = (container: Partial<V1Container>, sources: Sources = new Map()) => {
  const { variables, missing } = environmentOf(pod(container), "app", sources);
  return { variables: Object.fromEntries(variables), missing };
};
const of = (data: Record<string, string>) => ({ data: new Map(Object.entries(data)) });

test("literals, with those before them expanded as the kubelet does", () => {
  const env = [
    { name: "HOST", value: "db" },
    { name: "URL", value: "http://$(HOST):80/$(LATER)/$$(HOST)" },
    { name: "LATER", value: "x" },
    { name: "EMPTY" },
    { name: "É", value: "é" },
  ];
  assert.deepEqual(read({ env }).variables, {
    HOST: "db",
    URL: "http://db:80/$(LATER)/$(HOST)",
    LATER: "x",
    EMPTY: "",
    [Buffer.from("É").toString("latin1")]: Buffer.from("é").toString("latin1"),
  });
});

test("ConfigMaps and Secrets, whole and by key; env counts over envFrom", () => {
  const sources: Sources = new Map([
    ["configmaps/settings", of({ A: "1", B: "2" })],
    ["secrets/keys", of({ token: "s3cret" })],
  ]);
  const { variables, missing } = read(
    {
      envFrom: [
        { configMapRef: { name: "settings" } },
        { prefix: "K_", secretRef: { name: "keys" } },
      ],
      env: [
        { name: "B", value: "3" },
        { name: "TOKEN", valueFrom: { secretKeyRef: { name: "keys", key: "token" } } },
        { name: "NONE", valueFrom: { secretKeyRef: { name: "keys", key: "no", optional: true } } },
      ],
    },
    sources,
  );
  assert.deepEqual(variables, { A: "1", B: "3", K_token: "s3cret", TOKEN: "s3cret" });
  assert.deepEqual(missing, []);
});

test("what cannot be read is named with the reason, and never with a value", () => {
  const sources: Sources = new Map<string, { why: string } | ReturnType<typeof of>>([
    ["secrets/keys", { why: "you may not read it" }],
    ["configmaps/settings", of({})],
  ]);
  const { variables, missing } = read(
    {
      envFrom: [{ secretRef: { name: "keys" } }],
      env: [
        {
          name: "TOKEN",
          valueFrom: { secretKeyRef: { name: "keys", key: "token", optional: true } },
        },
        { name: "LEVEL", valueFrom: { configMapKeyRef: { name: "settings", key: "level" } } },
        { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
      ],
    },
    sources,
  );
  assert.deepEqual(variables, {});
  assert.deepEqual(missing, [
    "all of secrets/keys (you may not read it)",
    "TOKEN (secrets/keys: you may not read it)",
    'LEVEL (configmaps/settings has no key "level")',
    "CPU (limits.cpu)",
  ]);
});

test("fields of the pod, and the container's resources in the unit that is asked for", () => {
  const field = (name: string, fieldPath: string) => ({
    name,
    valueFrom: { fieldRef: { fieldPath } },
  });
  const { variables } = read({
    resources: { limits: { memory: "64Mi", cpu: "250m" } },
    env: [
      field("NAME", "metadata.name"),
      field("NS", "metadata.namespace"),
      field("APP", "metadata.labels['app']"),
      field("NODE", "spec.nodeName"),
      field("WHO", "spec.serviceAccountName"),
      field("IP", "status.podIP"),
      field("IPS", "status.podIPs"),
      {
        name: "MEMORY",
        valueFrom: { resourceFieldRef: { resource: "limits.memory", divisor: "1Mi" } },
      },
      { name: "CPU", valueFrom: { resourceFieldRef: { resource: "limits.cpu" } } },
    ],
  });
  assert.deepEqual(variables, {
    NAME: "orders-1",
    NS: "shop",
    APP: "orders",
    NODE: "node-1",
    WHO: "robot",
    IP: "10.0.0.7",
    IPS: "10.0.0.7,fd00::7",
    MEMORY: "64",
    CPU: "1",
  });
});

test("amounts", () => {
  assert.deepEqual(["250m", "1Ki", "1e3", "2.5G", "x", "1x", ""].map(quantity), [
    0.25,
    1024,
    1000,
    2.5e9,
    undefined,
    undefined,
    undefined,
  ]);
});
