import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseFacts } from "../src/plan/facts.ts";
import { planRoutes, type RoutesWish } from "../src/plan/plan.ts";
import { formatSubnet, merged, parseSubnet, type Subnet, without } from "../src/plan/subnets.ts";

const subnet = (text: string): Subnet => {
  const found = parseSubnet(text);
  assert.ok(found, text);
  return found;
};
const texts = (subnets: readonly Subnet[]): string[] => subnets.map(formatSubnet);

test("subnets are read and written as they are, with the bits behind the prefix cleared", () => {
  assert.equal(formatSubnet(subnet("10.96.3.4/12")), "10.96.0.0/12");
  assert.equal(formatSubnet(subnet("10.96.3.4")), "10.96.3.4");
  assert.equal(formatSubnet(subnet("0.0.0.0/0")), "0.0.0.0/0");
  assert.equal(formatSubnet(subnet("FD00:0:0:1::1/64")), "fd00:0:0:1::/64");
  assert.equal(formatSubnet(subnet("::ffff:10.1.2.3")), "::ffff:a01:203");
  assert.equal(formatSubnet(subnet("::")), "::");
  for (const text of [
    "",
    "10.0.0",
    "10.0.0.0/33",
    "fd00::/129",
    "10.0.0.0/",
    "web",
    "fe80::1%eth0",
  ])
    assert.equal(parseSubnet(text), undefined, text);
});

test("a subnet without others is as few subnets as there can be, and together they have the same addresses", () => {
  assert.deepEqual(texts(without(subnet("10.0.0.0/30"), [subnet("10.0.0.1")])), [
    "10.0.0.0",
    "10.0.0.2/31",
  ]);
  assert.deepEqual(without(subnet("10.0.0.0/24"), [subnet("10.0.0.0/8")]), []);
  const holes = [subnet("10.0.0.7"), subnet("10.99.0.0/16"), subnet("fd00::1")];
  const parts = without(subnet("10.0.0.0/8"), holes);
  const size = (each: Subnet): bigint => 1n << BigInt(32 - each.length);
  assert.equal(
    parts.reduce((sum, each) => sum + size(each), 0n),
    (1n << 24n) - 1n - (1n << 16n),
  );
  assert.deepEqual(texts(merged([...parts, ...holes.slice(0, 2)])), ["10.0.0.0/8"]);
});

test("neighbours and doubles become one", () => {
  const given = ["10.244.1.0/24", "10.244.0.0/24", "10.244.0.0/25", "10.244.3.0/24", "fd00::/64"];
  assert.deepEqual(texts(merged(given.map(subnet))), [
    "10.244.0.0/23",
    "10.244.3.0/24",
    "fd00::/64",
  ]);
});

const LAPTOP = parseFacts(
  [
    "address 127.0.0.1/8 lo",
    "address 192.168.1.20/24 wlan0",
    "address 172.17.0.1/16 docker0",
    "route 0.0.0.0/0 wlan0 192.168.1.1 3",
    "route 192.168.1.0/24 wlan0 - 2",
    "route 172.17.0.0/16 docker0 - 2",
    "route fe80::/64 wlan0 - 2",
    "nonsense",
  ].join("\n"),
);
const WISH: RoutesWish = { found: [], include: [], exclude: [], never: [], hasIPv6: true };
const services = { cidr: "10.96.0.0/16", what: "services" };

function refusal(wish: Partial<RoutesWish>, facts = LAPTOP): UserError {
  try {
    planRoutes({ ...WISH, ...wish }, facts);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error;
  }
  assert.fail("it was not refused");
}

test("what is the machine's own is no part of a cluster that is elsewhere: nothing is left out", () => {
  const plan = planRoutes(
    { ...WISH, found: [services, { cidr: "10.244.0.0/24", what: "pods" }] },
    LAPTOP,
  );
  assert.deepEqual(plan, { routes: ["10.96.0.0/16", "10.244.0.0/24"], holes: [] });
});

test("the API server, name servers and gateways are never captured, wherever they are", () => {
  const never = [
    { address: "10.96.0.1", why: "the API server" },
    { address: "203.0.113.9", why: "elsewhere" },
  ];
  const { routes, holes } = planRoutes({ ...WISH, found: [services], never }, LAPTOP);
  assert.deepEqual(holes, [{ subnet: "10.96.0.1", why: "the API server" }]);
  assert.ok(!routes.includes("10.96.0.0/16"));
  assert.ok(routes.includes("10.96.0.0/32") && routes.includes("10.96.128.0/17"));
  const all = planRoutes({ ...WISH, include: ["192.168.0.0/16", "172.16.0.0/12"] }, LAPTOP);
  assert.deepEqual(
    all.holes.map((hole) => hole.subnet).filter((each) => each.includes("/")),
    ["192.168.1.0/24", "172.17.0.0/16"],
  );
});

test("a subnet that overlaps with the machine's own is refused with the flags that are the way out, and they are", () => {
  const found = [{ cidr: "172.17.0.0/16", what: "pods" }];
  const error = refusal({ found });
  assert.equal(error.code, "ROUTES_OVERLAP");
  assert.match(
    error.message,
    /172\.17\.0\.0\/16, the cluster's pods, overlaps with 172\.17\.0\.0\/16.*docker0/,
  );
  assert.match(error.hints.join("\n"), /--exclude 172\.17\.0\.0\/16.*\n.*--mode proxy/);
  assert.equal(refusal({ found, exclude: ["172.17.0.0/16"] }).code, "ROUTES_NONE");
  const both = planRoutes(
    { ...WISH, found: [...found, services], exclude: ["172.17.0.0/16"] },
    LAPTOP,
  );
  assert.deepEqual(both.routes, ["10.96.0.0/16"]);

  const inside = refusal({ found: [{ cidr: "172.16.0.0/12", what: "services" }] });
  assert.match(inside.hints[0] ?? "", /--exclude 172\.17\.0\.0\/16/);
  const rest = planRoutes(
    { ...WISH, found: [{ cidr: "172.16.0.0/12", what: "services" }], exclude: ["172.17.0.0/16"] },
    LAPTOP,
  );
  assert.ok(rest.routes.includes("172.16.0.0/16") && !rest.routes.includes("172.16.0.0/12"));
});

test("in a wider route of the machine, as a company's VPN has it, the user says whose the subnet is", () => {
  const vpn = parseFacts(
    "route 10.0.0.0/8 tun0 - 4\nroute 0.0.0.0/1 tun0 - 4\nroute 2000::/3 tun0 - 4",
  );
  const error = refusal({ found: [services] }, vpn);
  assert.match(
    error.hints.join("\n"),
    /--exclude 10\.96\.0\.0\/16(.|\n)*--include 10\.96\.0\.0\/16/,
  );
  assert.deepEqual(
    planRoutes({ ...WISH, found: [services], include: ["10.96.0.0/16"] }, vpn).routes,
    ["10.96.0.0/16"],
  );
  assert.deepEqual(planRoutes({ ...WISH, include: ["2001:db8::/32"] }, vpn).routes, [
    "2001:db8::/32",
  ]);
});

test("another session's routes are named as such", () => {
  const facts = parseFacts("route 10.96.0.0/16 inpod0 169.254.61.2 73");
  assert.match(
    refusal({ found: [services] }, facts).message,
    /another inpod connect's route \(inpod0\)/,
  );
});

test("loopback and link-local addresses stay the machine's, and what is no subnet is refused", () => {
  assert.equal(refusal({ include: ["127.0.0.0/8"] }).code, "ROUTES_NONE");
  assert.equal(refusal({ include: ["169.254.169.254"] }).code, "ROUTES_NONE");
  assert.equal(refusal({ include: ["web"] }).code, "USAGE_INVALID");
  assert.match(refusal({}).message, /were not found/);
});

test("where IPv6 is off, the rest of a cluster with both is routed", () => {
  const found = [services, { cidr: "fd00:1::/108", what: "services" }];
  const plan = planRoutes({ ...WISH, found, hasIPv6: false }, LAPTOP);
  assert.deepEqual(plan.routes, ["10.96.0.0/16"]);
  assert.match(plan.holes[0]?.why ?? "", /IPv6 is off/);
});
