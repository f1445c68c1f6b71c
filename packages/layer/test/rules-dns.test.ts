import assert from "node:assert/strict";
import { test } from "node:test";
import { ConfigValueError } from "@inpod/session";
import { compileDnsFilter, type DnsFilter } from "../src/rules/dns.ts";

const DOMAINS = ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"];

function verdict(filter: DnsFilter, name: string): string | undefined {
  return compileDnsFilter(filter, DOMAINS)?.(name).verdict;
}

test("without a filter nothing is decided", () => {
  assert.equal(compileDnsFilter(undefined, DOMAINS), undefined);
});

test("only what remote names is the pod's, with the pod's search domains too", () => {
  const filter = { remote: ["orders", "*.example.org"] };
  for (const name of ["orders", "orders.shop.svc.cluster.local", "a.example.org"])
    assert.equal(verdict(filter, name), "remote", name);
  for (const name of ["other", "example.org", "orders.example.com"])
    assert.equal(verdict(filter, name), "local", name);
});

test("what local names is this machine's, everything else the pod's", () => {
  const filter = { local: ["db.example.org"] };
  assert.equal(verdict(filter, "db.example.org"), "local");
  assert.equal(verdict(filter, "orders.shop.svc.cluster.local"), "remote");
});

test("a name of this machine with a search domain of the pod is none: the resolver asks for it alone next", () => {
  assert.equal(verdict({ local: ["db"] }, "db.svc.cluster.local"), "not-found");
  assert.equal(verdict({ remote: ["orders"] }, "db.shop.svc.cluster.local"), "not-found");
});

test("addresses and subnets are about the names that are asked for them", () => {
  const filter = { remote: ["10.0.0.0/8", "2001:db8::7"] };
  assert.equal(verdict(filter, "4.3.2.10.in-addr.arpa"), "remote");
  assert.equal(verdict(filter, "4.3.2.11.in-addr.arpa"), "local");
  const seven = `7.${"0.".repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa`;
  assert.equal(verdict(filter, seven), "remote");
  assert.equal(verdict(filter, `8${seven.slice(1)}`), "local");
});

test("a decision names the entry, or the list that has none", () => {
  const decide = compileDnsFilter({ local: ["a", "b:443"] }, DOMAINS);
  assert.equal(decide?.("b").why, "feature.network.dns.filter.local[1]");
  assert.equal(decide?.("c").why, "feature.network.dns.filter.local does not name it");
});

for (const entry of [":53", "tcp://name", "10.0.0.256", "not a name"])
  test(`${JSON.stringify(entry)} is refused with what is allowed`, () => {
    assert.throws(
      () => compileDnsFilter({ remote: [entry] }, DOMAINS),
      (error: Error) => error instanceof ConfigValueError && /allowed: a name/.test(error.message),
    );
  });
