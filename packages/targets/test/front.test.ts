import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1EndpointSlice, V1Pod, V1Service } from "@kubernetes/client-node";
import { doorOf, frontOf } from "../src/kubernetes/services/front.ts";

const pod: V1Pod = {
  metadata: { name: "web-1", namespace: "shop", uid: "uid-1", labels: { app: "web", v: "1" } },
  spec: {
    containers: [{ name: "app", ports: [{ name: "http", containerPort: 8080 }] }],
    initContainers: [
      { name: "once", ports: [{ name: "gone", containerPort: 1 }] },
      { name: "side", restartPolicy: "Always", ports: [{ name: "admin", containerPort: 9000 }] },
    ],
  },
};
const service = (name: string, spec: V1Service["spec"]): V1Service => ({
  metadata: { name },
  spec: { clusterIP: "10.96.0.7", selector: { app: "web" }, ...spec },
});
const web = service("web", { ports: [{ port: 80, targetPort: "http" }] });

function door(services: V1Service[], ports: number[]) {
  const found = doorOf(pod, services, ports);
  assert.equal(found.kind, "door");
  assert.ok(found.kind === "door");
  return found.door;
}

test("a Service leads to the port that its target port says: a number, a name, or its own", () => {
  assert.equal(door([web], [8080]).podPort, 8080);
  assert.equal(
    door([service("a", { ports: [{ port: 80, targetPort: "admin" }] })], [9000]).port.port,
    80,
  );
  assert.equal(
    door([service("a", { ports: [{ port: 81, targetPort: 3000 }] })], [3000]).podPort,
    3000,
  );
  assert.equal(door([service("a", { ports: [{ port: 3000 }] })], [3000]).podPort, 3000);
});

test("of several ports the first that a Service leads to counts, of Services any that leads to the pod", () => {
  const other = service("other", { selector: { app: "api" }, ports: [{ port: 3000 }] });
  const second = service("second", { selector: { v: "1" }, ports: [{ port: 3001 }] });
  const found = door([other, second, web], [3000, 3001, 8080]);
  assert.equal(found.service.metadata?.name, "second");
});

test("where nothing leads to the pod there is nothing to try", () => {
  for (const services of [
    [],
    [service("a", { selector: { app: "api" }, ports: [{ port: 80 }] })],
    [service("a", { selector: { app: "web", v: "2" }, ports: [{ port: 80 }] })],
    // ExternalName, and Services with endpoints of somebody else's.
    [{ metadata: { name: "a" }, spec: { type: "ExternalName", externalName: "example.com" } }],
    [service("a", { selector: {}, ports: [{ port: 80 }] })],
    [service("a", { clusterIP: "None", ports: [{ port: 80 }] })],
    [service("a", { ports: [{ port: 80, protocol: "UDP" }] })],
  ])
    assert.equal(doorOf(pod, services, [80]).kind, "none");
});

test("a Service that leads to another port says to which, and how to stand for it", () => {
  assert.deepEqual(doorOf(pod, [web], [3000, 3001]), {
    kind: "other-ports",
    why: 'no Service leads to port 3000, 3001 of the pod: service/web leads from port 80 to port 8080 (the one named "http")',
    mapping: [3000, 8080],
  });
  const lost = service("lost", { ports: [{ port: 80, targetPort: "gone" }] });
  assert.deepEqual(doorOf(pod, [lost], [3000]), {
    kind: "other-ports",
    why: 'no Service leads to port 3000 of the pod: service/lost leads from port 80 to a port named "gone", which no container has',
    mapping: undefined,
  });
});

const slice = (endpoints: [uid: string, ready?: boolean][], port = 8080): V1EndpointSlice => ({
  addressType: "IPv4",
  ports: [{ port }],
  endpoints: endpoints.map(([uid, ready]) => ({
    addresses: [`addr-${uid}`],
    targetRef: { uid },
    ...(ready === undefined ? {} : { conditions: { ready } }),
  })),
});

test("a pod that is ready is had through its Service, with as many others as there are", () => {
  const slices = [
    slice([["uid-1", true], ["uid-2"]]),
    slice([["uid-3", false]]),
    { ...slice([["uid-1", true]]), addressType: "IPv6" },
  ];
  assert.deepEqual(frontOf(door([web], [8080]), pod, slices), {
    kind: "service",
    name: "service/web",
    address: "10.96.0.7",
    servicePort: 80,
    podPort: 8080,
    endpoints: 2,
    isSticky: false,
    mesh: undefined,
  });
});

test("a pod that is not ready, or none of the endpoints, gets nothing", () => {
  const at = door([web], [8080]);
  assert.deepEqual(frontOf(at, pod, [slice([["uid-1", false]])]), {
    kind: "not-now",
    name: "service/web",
    why: "pod/web-1 is not ready",
    isUnready: true,
  });
  assert.match(
    JSON.stringify(frontOf(at, pod, [slice([["uid-1", false], ["uid-2"], ["uid-3"]])])),
    /pod\/web-1 is not ready; it sends to 2 others/,
  );
  for (const slices of [[], [slice([["uid-2"]])], [slice([["uid-1"]], 8081)]])
    assert.match(JSON.stringify(frontOf(at, pod, slices)), /pod\/web-1 is none of its endpoints/);
});

test("a mesh's proxy before the application is known, by its container or its annotation", () => {
  const at = door([web], [8080]);
  const meshOf = (more: Partial<V1Pod>): string | undefined => {
    const front = frontOf(at, { ...pod, ...more }, [slice([["uid-1"]])]);
    return front.kind === "service" ? front.mesh : assert.fail(front.kind);
  };
  assert.equal(
    meshOf({ spec: { containers: [{ name: "app" }, { name: "istio-proxy" }] } }),
    "istio-proxy",
  );
  const annotations = { "ambient.istio.io/redirection": "enabled" };
  assert.equal(meshOf({ metadata: { ...pod.metadata, annotations } }), "Istio's ztunnel");
});
