import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import { podNews } from "../src/kubernetes/find/follow-target.ts";

const target = { name: "orders", uid: "1", container: "app" };

const pod = (state: V1ContainerStatus["state"], more: Partial<V1Pod> = {}): V1Pod => ({
  metadata: { name: "orders", uid: "1" },
  status: {
    phase: "Running",
    containerStatuses: [
      { name: "beside", containerID: "containerd://other", state: { running: {} } },
      { name: "app", containerID: "containerd://abc", state },
    ] as V1ContainerStatus[],
  },
  ...more,
});

test("a container that runs is known by its id, without the runtime's name", () => {
  assert.deepEqual(podNews(pod({ running: {} }), target), { kind: "runs", containerId: "abc" });
});

test("between two lives: it has ended, or it waits, with the kubelet's word for it", () => {
  assert.deepEqual(podNews(pod({ terminated: { exitCode: 1 } }), target), { kind: "ended" });
  assert.deepEqual(podNews(pod({ waiting: { reason: "CrashLoopBackOff" } }), target), {
    kind: "waits",
    why: "CrashLoopBackOff",
  });
});

test("a pod that is over, evicted, or another one of the same name is gone", () => {
  const over = (phase: string, reason?: string): V1Pod =>
    pod({ running: {} }, { status: { phase, ...(reason === undefined ? {} : { reason }) } });
  assert.deepEqual(podNews(over("Failed", "Evicted"), target), {
    kind: "gone",
    why: "pod/orders has ended (Evicted)",
  });
  assert.deepEqual(podNews(over("Succeeded"), target), {
    kind: "gone",
    why: "pod/orders has ended (Succeeded)",
  });
  const { kind, why } = { why: "", ...podNews(pod({ running: {} }), { ...target, uid: "2" }) };
  assert.equal(kind, "gone");
  assert.match(why, /replaced/);
});

test("a pod whose deletion was asked for may go on for its grace period", () => {
  const deletionTimestamp = new Date(0);
  const ending = pod({ running: {} }, { metadata: { uid: "1", deletionTimestamp } });
  assert.deepEqual(podNews(ending, target), { kind: "ends" });
});
