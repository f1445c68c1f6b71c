import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Container, V1Pod } from "@kubernetes/client-node";
import { podProbes } from "../src/kubernetes/find/probes.ts";

const pod = (
  containers: Partial<V1Container>[],
  initContainers: Partial<V1Container>[] = [],
  status: V1Pod["status"] = {},
): V1Pod => ({
  spec: {
    containers: containers.map((each) => ({ name: "c", ...each })),
    initContainers: initContainers.map((each) => ({ name: "i", ...each })),
  },
  status,
});
const ofContainer = (container: Partial<V1Container>) => podProbes(pod([container])).probes;

test("each kind of probe that comes by the network, of each container; commands are none", () => {
  assert.deepEqual(
    podProbes(
      pod(
        [
          {
            startupProbe: { httpGet: { port: 8080, path: "/start?x=1" } },
            readinessProbe: { grpc: { port: 9000, service: "web" } },
            livenessProbe: { exec: { command: ["true"] } },
          },
          { readinessProbe: { tcpSocket: { port: 5432 } } },
        ],
        [
          {
            restartPolicy: "Always",
            readinessProbe: { httpGet: { port: 15021, scheme: "HTTPS" } },
          },
          { lifecycle: { postStart: { httpGet: { port: 1 } } } },
        ],
      ),
    ).probes,
    [
      { port: 8080, kind: "http", path: "/start?x=1" },
      { port: 9000, kind: "grpc" },
      { port: 5432, kind: "tcp" },
      { port: 15021, kind: "https", path: "/" },
    ],
  );
});

test("a port's name is the container's own; one that it does not have is no probe of a port", () => {
  const ports = [{ name: "web", containerPort: 3000 }];
  assert.deepEqual(ofContainer({ ports, livenessProbe: { tcpSocket: { port: "web" } } }), [
    { port: 3000, kind: "tcp" },
  ]);
  assert.deepEqual(ofContainer({ livenessProbe: { tcpSocket: { port: "web" } } }), []);
  assert.deepEqual(ofContainer({ livenessProbe: { tcpSocket: { port: "3000" } } }), [
    { port: 3000, kind: "tcp" },
  ]);
});

test("of a probe's headers only User-Agent is told", () => {
  const httpGet = {
    port: 80,
    httpHeaders: [
      { name: "Authorization", value: "secret" },
      { name: "user-Agent", value: "mine" },
    ],
  };
  assert.deepEqual(ofContainer({ readinessProbe: { httpGet } }), [
    { port: 80, kind: "http", path: "/", userAgent: "mine" },
  ]);
});

test("hooks by HTTP are the pod's like probes, and the same one counts once", () => {
  const httpGet = { port: 80, path: "/a" };
  assert.deepEqual(
    ofContainer({
      lifecycle: { postStart: { httpGet }, preStop: { exec: { command: ["true"] } } },
      livenessProbe: { httpGet },
    }),
    [{ port: 80, kind: "http", path: "/a" }],
  );
});

test("the node's addresses are those of the pod's status", () => {
  const hostIPs = [{ ip: "192.0.2.1" }, { ip: "2001:db8::1" }];
  assert.deepEqual(podProbes(pod([], [], { hostIP: "192.0.2.1", hostIPs })).from, [
    "192.0.2.1",
    "2001:db8::1",
  ]);
  assert.deepEqual(podProbes(pod([], [], { hostIP: "192.0.2.1" })).from, ["192.0.2.1"]);
  assert.deepEqual(podProbes({}), { from: [], probes: [] });
});
