/** A server in the place of an API server: lists and watches of a workload's pods, and what is made of them. */
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { ALLOWS_ALL } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import { workloadReplicas } from "../src/kubernetes/find/replicas.ts";
import { WorkloadWatch } from "../src/kubernetes/find/workload-watch.ts";
import { ApiClient } from "../src/kubernetes/reach/api-client.ts";
import { loadAccess } from "../src/kubernetes/reach/kubeconfig.ts";
import { kubeconfig } from "./api-server.ts";

interface Shape {
  readonly uid?: string;
  readonly ready?: boolean;
  readonly isEnding?: boolean;
  readonly owner?: string;
  readonly labels?: Record<string, string>;
}

const pod = (name: string, shape: Shape = {}): V1Pod => ({
  metadata: {
    name,
    namespace: "shop",
    uid: shape.uid ?? `uid-${name}`,
    labels: { app: "web", ...shape.labels },
    ownerReferences: [
      {
        apiVersion: "apps/v1",
        kind: "ReplicaSet",
        name: "",
        uid: shape.owner ?? "set",
        controller: true,
      },
    ],
    ...(shape.isEnding ? { deletionTimestamp: new Date(0) } : {}),
  },
  spec: { nodeName: "n1", containers: [{ name: "app" }] },
  status: {
    phase: "Running",
    conditions: [{ type: "Ready", status: shape.ready === false ? "False" : "True" }],
    containerStatuses: [
      {
        ...{ name: "app", containerID: `containerd://${name}`, image: "", imageID: "" },
        ...{ ready: true, restartCount: 0, state: { running: {} } },
      },
    ],
  },
});

/** What the server has, who watches, and what was asked. */
class PodServer {
  pods: V1Pod[] = [];
  version = 10;
  refusesWatches = false;
  readonly asked: string[] = [];
  readonly events = new EventEmitter();
  #watch: ServerResponse | undefined;

  serve(url: string, response: ServerResponse): void {
    const { searchParams: query } = new URL(url, "http://localhost");
    const isWatch = query.get("watch") === "1";
    this.asked.push(
      `${isWatch ? `watch ${query.get("resourceVersion")}` : "list"} ${query.get("labelSelector")}`,
    );
    if (!isWatch) {
      const metadata = { resourceVersion: String(this.version) };
      response.end(JSON.stringify({ metadata, items: this.pods }));
      return;
    }
    if (this.refusesWatches) {
      response.statusCode = 403;
      response.end(JSON.stringify({ message: "you may not watch pods" }));
      return;
    }
    this.#watch = response;
    response.flushHeaders();
    this.events.emit("watch");
  }

  tell(type: string, object: object): void {
    this.#watch?.write(`${JSON.stringify({ type, object })}\n`);
  }

  endWatch(): void {
    this.#watch?.end();
  }
}

async function watched(t: TestContext, ...pods: V1Pod[]) {
  const api = new PodServer();
  api.pods = [...pods];
  const server = createServer((request, response) => api.serve(request.url ?? "", response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const path = kubeconfig({ token: "t" }, { server: `http://127.0.0.1:${port}` });
  const client = new ApiClient(await loadAccess({ kubeconfig: path }), []);
  const kin = {
    selector: "app=web",
    has: ({ metadata }: V1Pod) => metadata?.ownerReferences?.[0]?.uid === "set",
  };
  const watch = new WorkloadWatch(client, "shop", kin, pods);
  const stop = new AbortController();
  t.after(() => {
    stop.abort();
    server.close();
    server.closeAllConnections();
  });
  return { api, client, watch, signal: stop.signal };
}

const names = (watch: WorkloadWatch): string =>
  watch
    .pods()
    .map(({ metadata }) => metadata?.name)
    .join(" ");
const changed = (watch: WorkloadWatch): Promise<void> =>
  new Promise((resolve) => {
    const stop = watch.listen(() => {
      stop();
      resolve();
    });
  });

test("one list, and a watch from there on: what comes and goes is told, without another question", async (t) => {
  const { api, watch, signal } = await watched(t, pod("a"));
  const open = once(api.events, "watch");
  void watch.run(signal);
  await open;
  for (const [type, told, known] of [
    ["ADDED", pod("b", { ready: false }), "a b"],
    ["MODIFIED", pod("b"), "a b"],
    ["DELETED", pod("a"), "b"],
  ] as const) {
    const news = changed(watch);
    api.tell(type, told);
    await news;
    assert.equal(names(watch), known);
  }
  assert.deepEqual(api.asked, ["list app=web", "watch 10 app=web"]);
});

test("strangers with the workload's labels are not its pods, nor are agents", async (t) => {
  const { api, watch, signal } = await watched(t, pod("a"));
  const open = once(api.events, "watch");
  void watch.run(signal);
  await open;
  api.tell("ADDED", pod("stranger", { owner: "other" }));
  api.tell("ADDED", pod("agent", { labels: { "inpod.dev/session": "x" } }));
  while (!names(watch).includes("b")) {
    const news = changed(watch);
    api.tell("ADDED", pod("b"));
    await news;
  }
  assert.equal(names(watch), "a b");
});

test("a watch that ends or is too far behind begins with a list, and misses nobody's end", async (t) => {
  const { api, watch, signal } = await watched(t, pod("a"), pod("b"), pod("c"));
  let open = once(api.events, "watch");
  void watch.run(signal);
  await open;
  const deleted: string[] = [];
  const observer = { onPod: () => {}, onDeleted: () => deleted.push("a") };
  const followed = watch.one("a", observer, signal);
  api.pods = [pod("b"), pod("c")];
  api.version = 20;
  open = once(api.events, "watch");
  api.endWatch();
  await open;
  await followed;
  assert.deepEqual(deleted, ["a"]);
  assert.equal(names(watch), "b c");
  api.pods = [pod("c")];
  api.version = 30;
  open = once(api.events, "watch");
  api.tell("ERROR", { code: 410, message: "too old resource version" });
  await open;
  assert.equal(names(watch), "c");
  assert.deepEqual(
    api.asked.filter((each) => each.startsWith("watch")),
    ["watch 10 app=web", "watch 20 app=web", "watch 30 app=web"],
  );
});

test("who may not watch is told so at once", async (t) => {
  const { api, watch, signal } = await watched(t, pod("a"));
  api.refusesWatches = true;
  await assert.rejects(watch.run(signal), /watch pods/);
});

test("of one name it is the newest that is followed: a StatefulSet's pod and its successor", async (t) => {
  const { api, watch, signal } = await watched(t, pod("web-0"));
  const open = once(api.events, "watch");
  void watch.run(signal);
  await open;
  const seen: (string | undefined)[] = [];
  const onPod = ({ metadata }: V1Pod): void => {
    seen.push(metadata?.uid);
  };
  void watch.one("web-0", { onPod, onDeleted: () => seen.push("deleted") }, signal);
  const news = changed(watch);
  api.tell("ADDED", pod("web-0", { uid: "second" }));
  await news;
  assert.deepEqual(seen, ["uid-web-0", "second"]);
});

test("as replicas: ready, not ready, ending while it was known, and the same object all the time", async (t) => {
  const { api, client, watch, signal } = await watched(t, pod("a"), pod("b"));
  const replicas = workloadReplicas({
    ...{ api: client, watch, of: "deployment/web", container: undefined, own: () => "uid-a" },
    policyOf: async () => ({ ...ALLOWS_ALL, from: [] }),
    place: () => Promise.reject(new Error("none is placed")),
    audit: () => () => async () => {},
  });
  const states = (): string =>
    replicas
      .now()
      .map(({ name, state }) => `${name} ${state}`)
      .join(", ");
  const [, first] = replicas.now();
  assert.equal(states(), "a ready, b ready");
  const open = once(api.events, "watch");
  void watch.run(signal);
  await open;
  for (const [type, told, after] of [
    ["MODIFIED", pod("b", { ready: false }), "a ready, b unready"],
    ["MODIFIED", pod("b", { isEnding: true }), "a ready, b ending"],
    // It was never of use.
    ["ADDED", pod("c", { isEnding: true }), "a ready, b ending"],
    ["DELETED", pod("b", { isEnding: true }), "a ready"],
  ] as const) {
    const news = changed(watch);
    api.tell(type, told);
    await news;
    assert.equal(states(), after);
  }
  assert.equal(first?.state, "ending");
  assert.deepEqual(await replicas.now()[0]?.policy(signal), { ...ALLOWS_ALL, from: [] });
});
