import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1PodSpec, V1Service, V1ServiceSpec } from "@kubernetes/client-node";
import { noSuchPort, serviceNamed } from "../src/kubernetes/services/check-service.ts";

const named = (host: string, spec?: Partial<V1PodSpec>): string | undefined => {
  const found = serviceNamed(host, "shop", spec && { spec: { containers: [], ...spec } });
  return found && `${found.name} in ${found.namespace}`;
};
const service = (spec: V1ServiceSpec): V1Service => ({
  metadata: { name: "orders" },
  spec: { clusterIP: "10.96.0.7", ...spec },
});
const orders = service({
  ports: [
    { name: "http", port: 80, targetPort: 3000 },
    { name: "dns", port: 53, protocol: "UDP" },
  ],
});
const at = (port: number, protocol: "tcp" | "udp" = "tcp") =>
  ({ host: "orders", port, protocol }) as const;

test("a Service is meant by the names that the cluster's DNS gives it", () => {
  assert.equal(named("orders"), "orders in shop");
  assert.equal(named("Orders"), "orders in shop");
  assert.equal(named("orders.other"), "orders in other");
  assert.equal(named("orders.other.svc"), "orders in other");
  assert.equal(named("orders.other.svc.cluster.local"), "orders in other");
});

test("other names, addresses and absolute names are nobody's that is known here", () => {
  for (const host of [
    "orders.",
    "api.example.com",
    "10.96.0.7",
    "fd00::7",
    "_http._tcp.orders",
    "",
  ])
    assert.equal(named(host), undefined, host);
});

test("a pod that resolves names otherwise is not second-guessed", () => {
  assert.equal(named("orders", { dnsPolicy: "Default" }), undefined);
  assert.equal(named("orders", { dnsPolicy: "None" }), undefined);
  assert.equal(named("orders", { hostNetwork: true }), undefined);
  const own = { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" };
  assert.equal(named("orders", own), "orders in shop");
  const hostAliases = [{ ip: "10.0.0.1", hostnames: ["orders"] }];
  assert.equal(named("orders", { hostAliases }), undefined);
  assert.equal(named("web", { hostAliases }), "web in shop");
});

test("a port that the Service does not have is refused with those that it has", () => {
  assert.equal(noSuchPort(orders, at(80)), undefined);
  assert.equal(noSuchPort(orders, at(53, "udp")), undefined);
  const error = noSuchPort(orders, at(3000));
  assert.equal(
    error?.message,
    "service/orders has no port 3000: connections to orders:3000 would all fail",
  );
  assert.deepEqual(error?.hints, [
    "did you mean 80? It leads to 3000 of the pods",
    "its ports are: 80 (http), 53/udp (dns)",
    "a port that only its pods have: inpod forward -t service/orders -L LOCAL:3000",
  ]);
  assert.match(noSuchPort(orders, at(80, "udp"))?.message ?? "", /has no UDP port 80/);
  assert.match(noSuchPort(orders, at(53))?.message ?? "", /has no port 53/);
});

test("headless Services and other names lead to ports that are not theirs", () => {
  assert.equal(noSuchPort(service({ clusterIP: "None", ports: [] }), at(1)), undefined);
  const alias = service({ type: "ExternalName", externalName: "db.example.com" });
  assert.equal(noSuchPort(alias, at(1)), undefined);
});
