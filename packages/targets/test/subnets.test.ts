import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { apiServerHosts, clusterSubnets, openCluster } from "../src/index.ts";
import { around, rangesInRefusal } from "../src/kubernetes/network/ranges.ts";

/** Answers by "VERB path"; for anything else the user has no right. */
async function found(t: TestContext, answers: Readonly<Record<string, [number, object]>>) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? "", "http://x");
    asked.push(`${request.method} ${request.url}`);
    const [status, body] = answers[`${request.method} ${pathname}`] ?? [
      403,
      { message: 'user "eve" cannot list resource "x"' },
    ];
    response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const folder = mkdtempSync(join(tmpdir(), "inpod-subnets-"));
  t.after(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const kubeconfig = join(folder, "config");
  const { port } = server.address() as AddressInfo;
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      "current-context": "c",
      contexts: [{ name: "c", context: { cluster: "c", namespace: "shop" } }],
      clusters: [{ name: "c", cluster: { server: `http://127.0.0.1:${port}` } }],
    }),
  );
  const cluster = await openCluster({ kubeconfig });
  try {
    const subnets = await clusterSubnets(cluster, ["10.244.7.9"], AbortSignal.timeout(60_000));
    return { ...subnets, asked, hosts: await apiServerHosts({ kubeconfig }) };
  } finally {
    cluster.close();
  }
}

const REFUSED =
  'Service "inpod-x" is invalid: spec.clusterIPs: Invalid value: ["192.0.2.1"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/12';
const POD = (ip: string, hostNetwork = false) => ({
  spec: { hostNetwork },
  status: { podIPs: [{ ip }] },
});

test("ServiceCIDRs and the nodes' podCIDRs say it, and pods that are elsewhere", async (t) => {
  const { subnets, unseen, asked, hosts } = await found(t, {
    "GET /apis/networking.k8s.io/v1/servicecidrs": [
      200,
      { items: [{ spec: { cidrs: ["10.96.0.0/16", "fd00:1::/108"] } }] },
    ],
    "GET /api/v1/nodes": [
      200,
      { items: [{ spec: { podCIDRs: ["10.244.0.0/24"] } }, { spec: {} }] },
    ],
    "GET /api/v1/pods": [
      200,
      { items: [POD("10.244.0.9"), POD("10.9.1.2"), POD("192.168.0.7", true), { spec: {} }] },
    ],
  });
  assert.deepEqual(subnets, [
    { cidr: "10.96.0.0/16", what: "services" },
    { cidr: "fd00:1::/108", what: "services" },
    { cidr: "10.244.0.0/24", what: "pods" },
    { cidr: "10.244.0.0/24", what: "pods" },
    { cidr: "10.9.1.0/24", what: "pods" },
    { cidr: "10.244.7.0/24", what: "pods" },
  ]);
  assert.deepEqual(unseen, []);
  assert.ok(!asked.some((each) => each.startsWith("POST")), "nothing is asked for that is known");
  assert.deepEqual(hosts, [{ host: "127.0.0.1", why: "the API server" }]);
});

test("older clusters tell the range in a refusal, of a dry run", async (t) => {
  const { subnets, asked } = await found(t, {
    "GET /apis/networking.k8s.io/v1/servicecidrs": [404, { message: "not found" }],
    "POST /api/v1/namespaces/shop/services": [422, { message: REFUSED }],
  });
  assert.deepEqual(subnets[0], { cidr: "10.96.0.0/12", what: "services" });
  assert.ok(asked.includes("POST /api/v1/namespaces/shop/services?dryRun=All"));
});

test("who may see little gets what his namespace shows, and is told so", async (t) => {
  const { subnets, unseen } = await found(t, {
    "GET /api/v1/namespaces/shop/services": [
      200,
      { items: [{ spec: { clusterIPs: ["10.96.3.4"] } }, { spec: { clusterIPs: ["None"] } }] },
    ],
    "GET /api/v1/namespaces/shop/pods": [200, { items: [POD("10.244.1.2")] }],
  });
  assert.deepEqual(
    subnets.map(({ cidr }) => cidr),
    ["10.96.3.0/24", "10.244.1.0/24", "10.244.7.0/24"],
  );
  assert.equal(unseen.length, 2);
  for (const line of unseen) assert.match(line, /not yours to see.*shop.*--include/);
});

test("who may see nothing has the subnet of the session's own pod", async (t) => {
  const { subnets, unseen } = await found(t, {});
  assert.deepEqual(subnets, [{ cidr: "10.244.7.0/24", what: "pods" }]);
  assert.match(unseen[0] ?? "", /not yours to see: name it with --include/);
});

test("what is no range is none, and addresses of IPv6 have a /64 around them", () => {
  assert.deepEqual(rangesInRefusal("admission webhook denied it"), []);
  assert.deepEqual(rangesInRefusal("The range of valid IPs is everything"), []);
  assert.deepEqual(around(["fd00:0:0:7::12", "fd00::1", "1:2:3:4:5:6:7:8", "None"]), [
    "fd00:0:0:7::/64",
    "fd00:0:0:0::/64",
    "1:2:3:4::/64",
  ]);
});
