import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1ContainerState, V1Pod } from "@kubernetes/client-node";
import { choosePod, type PodOrder } from "../src/kubernetes/find/choose-pod.ts";
import { judgePod } from "../src/kubernetes/find/judge-pod.ts";
import { selectorText } from "../src/kubernetes/find/selector.ts";

interface Shape {
  readonly age?: number;
  readonly ready?: boolean;
  readonly phase?: string;
  readonly state?: V1ContainerState;
  readonly isEnding?: boolean;
  readonly set?: string;
  readonly more?: Partial<V1Pod["spec"]>;
}

/** As the API server's JSON: times are text. */
function pod(name: string, shape: Shape = {}): V1Pod {
  const { age = 0, ready = true, phase = "Running", state = { running: {} }, set = "new" } = shape;
  return {
    metadata: {
      name,
      namespace: "shop",
      uid: `uid-${name}`,
      labels: { set },
      creationTimestamp: new Date(1_000_000 - age * 1000).toISOString() as unknown as Date,
      ...(shape.isEnding ? { deletionTimestamp: new Date() } : {}),
    },
    spec: { nodeName: "n1", containers: [{ name: "app" }], ...shape.more },
    status: {
      phase,
      conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      containerStatuses: [
        {
          name: "app",
          containerID: `containerd://${name}`,
          image: "",
          imageID: "",
          ready,
          restartCount: 0,
          state,
        },
      ],
    },
  };
}
const crashing: Shape = { ready: false, state: { waiting: { reason: "CrashLoopBackOff" } } };
const bySet: PodOrder = {
  revision: ({ metadata }) => (metadata?.labels?.set === "new" ? 0 : 1),
  revisionWord: "newest ReplicaSet",
};

/** "name: why", or what there is instead. */
function chosen(pods: readonly V1Pod[], order: PodOrder = {}, container?: string): string {
  const choice = choosePod(pods, container, order, "deployment/x");
  return choice.kind === "chosen" ? `${choice.target.name}: ${choice.why}` : choice.kind;
}

test("of ready pods the newest is chosen, and the others are told of", () => {
  const pods = [pod("a", { age: 9 }), pod("b", { age: 1 }), pod("c", { age: 5 })];
  assert.equal(chosen(pods), "b: the newest of the 3 ready pods of deployment/x");
  const choice = choosePod(pods, undefined, {}, "deployment/x");
  assert.deepEqual(choice.kind === "chosen" && choice.ready.map(({ name }) => name), [
    "b",
    "c",
    "a",
  ]);
  assert.equal(chosen([pod("a")]), "a: the only ready pod of deployment/x");
});

test("in the middle of a rollout a ready pod of the newest ReplicaSet goes before a younger old one", () => {
  const old = pod("old", { age: 1, set: "old" });
  assert.equal(
    chosen([old, pod("new", { age: 60 })], bySet),
    "new: the only ready pod of the newest ReplicaSet of deployment/x",
  );
  assert.equal(
    chosen([old, pod("new", { ready: false })], bySet),
    "old: the only ready pod of deployment/x, whose newest ReplicaSet has none",
  );
});

test("without a ready pod one that runs is taken, and then one that crashes", () => {
  const starting = pod("starting", { age: 9, ready: false });
  assert.equal(
    chosen([pod("crashing", crashing), starting]),
    "starting: the only running pod of deployment/x, where none is ready",
  );
  assert.equal(
    chosen([pod("crashing", crashing)]),
    "crashing: the only crashing pod of deployment/x, where none is ready",
  );
});

test("a pod that is going is not taken, ready or not", () => {
  const ending = pod("ending", { isEnding: true });
  assert.equal(
    chosen([ending, pod("other", { age: 99 })]),
    "other: the only ready pod of deployment/x",
  );
  assert.equal(chosen([ending]), "none-usable");
});

test("of a StatefulSet the first of the newest revision is meant", () => {
  const order: PodOrder = { ...bySet, isOrdinal: true };
  const pods = [pod("db-10", { age: 1 }), pod("db-2", { age: 5 }), pod("db-0", { set: "old" })];
  assert.equal(
    chosen(pods, order),
    "db-2: the first of the 2 ready pods of the newest ReplicaSet of deployment/x",
  );
});

test("the pod that can say why is the one that is told of, before one that is only going", () => {
  const stuck = pod("stuck", {
    phase: "Pending",
    ready: false,
    state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } },
  });
  const choice = choosePod(
    [pod("ending", { isEnding: true }), stuck],
    undefined,
    {},
    "deployment/x",
  );
  assert.ok(choice.kind === "none-usable");
  assert.equal(choice.unusable[0].pod.metadata?.name, "stuck");
  assert.equal(choice.unusable[0].verdict.detail, "no such image");
});

test("a container that only the newer pods have is looked for among all", () => {
  const withLog = pod("with", {
    age: 9,
    more: { containers: [{ name: "app" }, { name: "log" }] },
  });
  const statuses = withLog.status?.containerStatuses ?? [];
  statuses.push({ ...(statuses[0] ?? assert.fail()), name: "log" });
  assert.equal(
    chosen([pod("without"), withLog], {}, "log"),
    "with: the only ready pod of deployment/x",
  );
  assert.equal(chosen([pod("without")], {}, "log"), "no-container");
  assert.equal(chosen([]), "empty");
});

const why = (shape: Shape, change: (pod: V1Pod) => void = () => {}): string => {
  const one = pod("x", shape);
  change(one);
  const verdict = judgePod(one, undefined);
  return verdict.kind === "unusable"
    ? [verdict.why, verdict.detail, ...verdict.hints].join(" | ")
    : verdict.kind;
};

test("a container that has ended in a pod that runs leaves its network: the pod is a target", () => {
  const ended: Shape = { ready: false, state: { terminated: { exitCode: 1 } } };
  assert.equal(why(ended), "usable");
  assert.match(why({ ...ended, phase: "Failed" }), /^it ended with code 1, and a pod that is over/);
});

test("a pod that is over says that its network is gone, and how to have one that stays", () => {
  const over: Shape = { phase: "Succeeded", state: { terminated: { exitCode: 0 } } };
  assert.match(
    why(over),
    /^it ended with code 0, and a pod that is over has no network .*kubectl debug x -n shop --copy-to=x-inpod --container=app -- sleep/,
  );
  assert.match(
    why({ phase: "Failed" }, ({ status }) => {
      if (status === undefined) return;
      status.reason = "Evicted";
      status.message = "low on memory";
      status.containerStatuses = [];
    }),
    /^the pod has ended \(Evicted\).* \| low on memory \|/,
  );
});

test("init containers that keep the pod from starting are named, with their own words", () => {
  const init = (name: string, state: V1ContainerState, started = false) => ({
    name,
    state,
    started,
    image: "",
    imageID: "",
    ready: false,
    restartCount: 0,
  });
  const text = why(
    { phase: "Pending", state: { waiting: { reason: "PodInitializing" } } },
    (one) => {
      one.spec = {
        containers: [{ name: "app" }],
        nodeName: "n1",
        initContainers: [{ name: "proxy", restartPolicy: "Always" }, { name: "migrate" }],
      };
      if (one.status)
        one.status.initContainerStatuses = [
          init("proxy", { running: {} }, true),
          init("migrate", { waiting: { reason: "CrashLoopBackOff", message: "back-off 10s" } }),
        ];
    },
  );
  assert.match(
    text,
    /^its init container "migrate" waits: CrashLoopBackOff \| back-off 10s .*kubectl logs x -c migrate/,
  );
});

test("selectors are written as the API server reads them", () => {
  assert.equal(
    selectorText({
      matchLabels: { app: "web" },
      matchExpressions: [
        { key: "tier", operator: "In", values: ["a", "b"] },
        { key: "x", operator: "NotIn", values: ["c"] },
        { key: "y", operator: "Exists" },
        { key: "z", operator: "DoesNotExist" },
      ],
    }),
    "app=web,tier in (a,b),x notin (c),y,!z",
  );
  assert.equal(selectorText({}), undefined);
});
