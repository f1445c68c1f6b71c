import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import type { TargetPod } from "../src/kubernetes/find/target-pod.ts";
import { isJoinable, joinersOf } from "../src/kubernetes/place/join.ts";

const KEY = `${"A".repeat(43)}=`;
const target = { path: "pod/orders/container/app", node: "n1" } as TargetPod;
const agent = (more: { meta?: object; image?: string; state?: object; node?: string }): V1Pod => ({
  metadata: { annotations: { "inpod.dev/target": "pod/orders/container/app" }, ...more.meta },
  spec: {
    nodeName: more.node ?? "n1",
    containers: [{ name: "agent", image: more.image ?? "inpod/agent:1" }],
  },
  status: {
    containerStatuses: [
      {
        name: "agent",
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        state: more.state ?? { running: {} },
      },
    ],
  },
});

test("an agent is joined that runs beside the same container, of the same image", () => {
  assert.equal(isJoinable(agent({}), target, "inpod/agent:1"), true);
});

test("one of another container, of another version, on another node, not running or on its way out is not", () => {
  for (const other of [
    agent({ meta: { annotations: { "inpod.dev/target": "pod/orders/container/log" } } }),
    agent({ image: "inpod/agent:2" }),
    agent({ node: "n2" }),
    agent({ state: { waiting: { reason: "ContainerCreating" } } }),
    agent({ meta: { ...agent({}).metadata, deletionTimestamp: new Date() } }),
  ])
    assert.equal(isJoinable(other, target, "inpod/agent:1"), false);
});

test("keys of joiners stand in annotations; what is none is left out", () => {
  const annotations = {
    "inpod.dev/key.abc-1": `${KEY} alice@example.com`,
    "inpod.dev/key.two": `${KEY} `,
    "inpod.dev/key.three": "short alice",
    "inpod.dev/key.FOUR": `${KEY} bob`,
    "inpod.dev/key.": `${KEY} bob`,
    "inpod.dev/key.six": `${KEY} ${"x".repeat(300)}`,
    "inpod.dev/target": "pod/orders/container/app",
  };
  assert.deepEqual(joinersOf({ metadata: { annotations } }), [
    { sessionId: "abc-1", publicKey: KEY, owner: "alice@example.com" },
    { sessionId: "two", publicKey: KEY, owner: "" },
  ]);
});
