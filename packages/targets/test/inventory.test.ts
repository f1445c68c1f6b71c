import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Job, V1Pod } from "@kubernetes/client-node";
import { type AgentFacts, ephemeralAgents, jobAgents } from "../src/kubernetes/inventory/facts.ts";
import { judge } from "../src/kubernetes/inventory/judge.ts";

const NOW = Date.parse("2026-01-01T12:00:00Z");
const iso = (ms: number): string => new Date(ms).toISOString();

const meta = (name: string, uid: string) => ({
  name,
  uid,
  namespace: "shop",
  creationTimestamp: iso(NOW - 60_000) as unknown as Date,
  labels: { "app.kubernetes.io/managed-by": "inpod", "inpod.dev/session": "k3x" },
  annotations: {
    "inpod.dev/target": "pod/orders/container/app",
    "inpod.dev/owner": "alice",
    "inpod.dev/deadline": iso(NOW + 3_600_000),
    "inpod.dev/starts-until": iso(NOW - 1000),
  },
});
const job: V1Job = { metadata: meta("inpod-k3x", "job-uid") };
const pod: V1Pod = {
  metadata: {
    ...meta("inpod-k3x-abcde", "pod-uid"),
    ownerReferences: [{ apiVersion: "batch/v1", kind: "Job", name: "inpod-k3x", uid: "job-uid" }],
  },
  status: {
    phase: "Running",
    containerStatuses: [
      {
        name: "agent",
        image: "",
        imageID: "",
        ready: true,
        restartCount: 0,
        state: { running: {} },
      },
    ],
  },
};
const [running] = jobAgents([job], [pod]) as [AgentFacts];
const verdict = (
  facts: Partial<AgentFacts>,
  answer: Parameters<typeof judge>[1] = { kind: "not-asked" },
): string => judge({ ...running, ...facts }, answer, NOW).verdict;

test("a Job and its pod are one agent, with its session, owner, target and deadline", () => {
  assert.deepEqual(jobAgents([job], [pod]), [
    {
      kind: "job",
      namespace: "shop",
      name: "inpod-k3x",
      uid: "job-uid",
      session: "k3x",
      owner: "alice",
      target: "pod/orders/container/app",
      createdMs: NOW - 60_000,
      deadlineMs: NOW + 3_600_000,
      startsUntilMs: NOW - 1000,
      podName: "inpod-k3x-abcde",
      port: undefined,
      state: "running",
    },
  ]);
});

test("a pod whose Job is gone is an agent of its own; pods of others are none", () => {
  assert.deepEqual(
    jobAgents([], [pod, { metadata: { name: "orders", uid: "x" } }]).map(({ kind, name }) => [
      kind,
      name,
    ]),
    [["pod", "inpod-k3x-abcde"]],
  );
});

test("an agent with a session is held, whoever asks", () => {
  assert.equal(verdict({}, { kind: "sessions", count: 1 }), "held");
});

test("an agent without a session is left, unless its first one may still come", () => {
  assert.equal(verdict({}, { kind: "sessions", count: 0 }), "left");
  assert.equal(verdict({ startsUntilMs: NOW + 1 }, { kind: "sessions", count: 0 }), "starting");
});

test("one that has not started is left when nobody waits for it any more", () => {
  assert.equal(verdict({ state: "waiting" }), "left");
  assert.equal(verdict({ state: "waiting", startsUntilMs: NOW + 1 }), "starting");
});

test("one that has ended, or is past its deadline, is left", () => {
  assert.equal(verdict({ state: "ended" }), "left");
  assert.equal(verdict({ deadlineMs: NOW - 1 }, { kind: "sessions", count: 0 }), "left");
  assert.equal(verdict({ deadlineMs: NOW - 1 }, { kind: "sessions", count: 1 }), "held");
});

test("one that does not answer is nobody's to remove", () => {
  assert.equal(verdict({}, { kind: "no-answer", why: "forbidden" }), "unknown");
});

test("a container of inpod in another pod is an agent, and only an entry once it has ended", () => {
  const target: V1Pod = {
    metadata: { name: "orders", namespace: "shop", uid: "u" },
    spec: { containers: [], ephemeralContainers: [{ name: "inpod-k3x" }, { name: "debugger-1" }] },
    status: {
      ephemeralContainerStatuses: [
        {
          name: "inpod-k3x",
          image: "",
          imageID: "",
          ready: false,
          restartCount: 0,
          state: { terminated: { exitCode: 0 } },
        },
      ],
    },
  };
  const [agent, ...others] = ephemeralAgents([target]);
  assert.deepEqual(others, []);
  assert.ok(agent);
  assert.deepEqual([agent.kind, agent.session, agent.state], ["ephemeral", "k3x", "ended"]);
  assert.equal(judge(agent, { kind: "not-asked" }, NOW).verdict, "entry");
});
