import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import type { V1ContainerPort, V1Pod, V1Service, V1ServicePort } from "@kubernetes/client-node";
import type { PortWish } from "../src/index.ts";
import {
  allDeclared,
  type MeantPort,
  portOfPods,
  portOfService,
} from "../src/kubernetes/services/exposed-ports.ts";

const service = (ports: V1ServicePort[], clusterIP = "10.96.0.7"): V1Service => ({
  metadata: { name: "web" },
  spec: { clusterIP, selector: { app: "web" }, ports },
});
const pod = (...ports: V1ContainerPort[]): V1Pod => ({
  spec: { containers: [{ name: "app", ports }] },
});
const wish = (port: PortWish["port"], otherwise = 8080, protocol?: "tcp" | "udp"): PortWish => ({
  port,
  otherwise,
  protocol,
});
const told = ({ name, protocol, servicePort }: MeantPort): string =>
  `${name}; ${protocol} ${servicePort}`;
const refusal = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.equal(error.code, "TARGET_PORT_UNKNOWN");
    return [error.message, ...error.hints].join("\n");
  }
  return assert.fail("nothing was refused");
};

const HTTP: V1ServicePort = { name: "http", port: 80, targetPort: 8080 };
const METRICS: V1ServicePort = { name: "metrics", port: 9000, targetPort: "metrics" };
const DNS = [
  { name: "dns", port: 53, protocol: "UDP", targetPort: "dns" },
  { name: "dns-tcp", port: 53, protocol: "TCP", targetPort: "dns-tcp" },
];

test("a Service's port leads to its targetPort, by number and by name", () => {
  const web = service([HTTP, METRICS]);
  const http = portOfService(web, wish(80));
  assert.equal(told(http), "port 80 (http) of service/web; tcp 80");
  assert.equal(http.in(pod()), 8080);
  assert.equal(portOfService(web, wish("http")).in(pod()), 8080);
  assert.equal(portOfService(service([{ port: 80 }]), wish(80)).in(pod()), 80);
});

test("a named targetPort has the number that each pod gives it", () => {
  const metrics = portOfService(service([HTTP, METRICS]), wish(9000));
  assert.equal(metrics.in(pod({ name: "metrics", containerPort: 9102 })), 9102);
  assert.equal(metrics.in(pod({ name: "metrics", containerPort: 9999 })), 9999);
  assert.equal(metrics.in(pod({ name: "http", containerPort: 8080 })), undefined);
  assert.equal(metrics.in(pod({ name: "metrics", containerPort: 1, protocol: "UDP" })), undefined);
  // Said by the name in the container, where the Service's port has none.
  const nameless = service([{ port: 80, targetPort: "web" }]);
  assert.equal(portOfService(nameless, wish("web")).in(pod({ name: "web", containerPort: 3 })), 3);
});

test("where REMOTE is not said it is the port of the same number, or the only one", () => {
  assert.equal(portOfService(service([HTTP]), wish(undefined, 3000)).servicePort, 80);
  assert.equal(portOfService(service([HTTP, METRICS]), wish(undefined, 9000)).servicePort, 9000);
  const text = refusal(() => portOfService(service([HTTP, METRICS]), wish(undefined, 3000)));
  assert.match(text, /^which port of service\/web is meant\?/);
  assert.match(text, /its ports are: 80 \(http\), 9000 \(metrics\)/);
});

test("of a number that is TCP's and UDP's it is TCP's unless it is said", () => {
  assert.equal(
    told(portOfService(service(DNS), wish(53))),
    "port 53 (dns-tcp) of service/web; tcp 53",
  );
  const udp = portOfService(service(DNS), wish(53, 5353, "udp"));
  assert.equal(told(udp), "UDP port 53 (dns) of service/web; udp 53");
  assert.equal(udp.in(pod({ name: "dns", containerPort: 5300, protocol: "UDP" })), 5300);
  assert.equal(portOfService(service(DNS), wish("dns")).protocol, "udp");
  assert.equal(portOfService(service(DNS.slice(0, 1)), wish(undefined, 5353)).protocol, "udp");
});

test("a port that a Service does not have is refused with those that it has", () => {
  const web = service([HTTP, METRICS]);
  const text = refusal(() => portOfService(web, wish(8080)));
  assert.match(
    text,
    /^service\/web has no port 8080\ndid you mean 80\? It leads to 8080 of the pods/,
  );
  assert.match(
    refusal(() => portOfService(web, wish("grpc"))),
    /^service\/web has no port named "grpc"/,
  );
  assert.match(
    refusal(() => portOfService(web, wish(80, 1, "udp"))),
    /^service\/web has no UDP port 80/,
  );
  assert.match(
    refusal(() => portOfService(service([]), wish(80))),
    /it has no ports/,
  );
  const sctp = service([{ port: 80, protocol: "SCTP" }]);
  assert.match(
    refusal(() => portOfService(sctp, wish(80))),
    /is of SCTP/,
  );
});

test("a headless Service's clients reach the pods' own ports, and the user is told", () => {
  const db = service([{ name: "sql", port: 5432, targetPort: 5433 }], "None");
  const port = portOfService(db, wish(5432));
  assert.equal(port.in(pod()), 5433);
  assert.match(port.note ?? "", /is headless: its clients reach port 5433 of the pods themselves/);
  assert.equal(portOfService(db, wish(5433)).in(pod()), 5433);
  assert.equal(portOfService(service([{ port: 1 }], "None"), wish(1)).note, undefined);
});

test("of a workload the ports are the pods' own, by number or by name", () => {
  const own = pod({ name: "http", containerPort: 8080 });
  const named = portOfPods("deployment/web", own, wish("http"));
  assert.equal(told(named), "port 8080 (http) of deployment/web; tcp undefined");
  assert.equal(named.in(pod({ name: "http", containerPort: 3000 })), 3000);
  assert.equal(portOfPods("deployment/web", own, wish(7000)).in(own), 7000);
  assert.equal(portOfPods("deployment/web", own, wish(undefined, 5000)).in(own), 8080);
  assert.equal(portOfPods("deployment/web", pod(), wish(undefined, 5000)).in(own), 5000);
  assert.equal(
    told(portOfPods("pod/dns", own, wish(53, 5353, "udp"))),
    "UDP port 53 of pod/dns; udp undefined",
  );
  assert.match(
    refusal(() => portOfPods("deployment/web", own, wish("grpc"))),
    /no container of deployment\/web has a port named "grpc"\ntheir ports are: 8080 \(http\)/,
  );
});

test("a port that no container declares may be served all the same, and the user is told", () => {
  const own = pod({ name: "http", containerPort: 8080 }, { containerPort: 53, protocol: "UDP" });
  assert.equal(
    portOfPods("deployment/web", own, wish(7000)).note,
    "no container of deployment/web declares port 7000; declared are 8080 (http)",
  );
  assert.match(
    portOfPods("deployment/web", own, wish(7000, 1, "udp")).note ?? "",
    /declared are 53\/udp$/,
  );
  assert.equal(portOfPods("deployment/web", own, wish(8080)).note, undefined);
  assert.equal(portOfPods("deployment/web", pod(), wish(7000)).note, undefined);
});

test("what a Service or a pod names is each port once, and SCTP is none that can be brought here", () => {
  const ports = [{ port: 53, protocol: "UDP" }, { port: 53 }, { port: 53, protocol: "TCP" }];
  assert.deepEqual(
    allDeclared([...ports, { port: 9, protocol: "SCTP" }]).map(({ port, protocol }) => [
      port,
      protocol,
    ]),
    [
      [53, "udp"],
      [53, "tcp"],
    ],
  );
});
