import assert from "node:assert/strict";
import { test } from "node:test";
import { reverseDomains } from "../src/dns/reverse.ts";
import { parseSubnet, type Subnet, without } from "../src/plan/subnets.ts";

const subnet = (text: string): Subnet => parseSubnet(text) ?? assert.fail(text);
const of = (...texts: string[]): string[] => reverseDomains(texts.map(subnet), 200);

test("a subnet's addresses are looked up below the domains of its labels", () => {
  assert.deepEqual(of("10.244.3.0/24"), ["3.244.10.in-addr.arpa"]);
  assert.deepEqual(of("10.0.0.0/8"), ["10.in-addr.arpa"]);
  assert.deepEqual(of("10.96.0.7/32"), ["7.0.96.10.in-addr.arpa"]);
  assert.deepEqual(of("10.96.0.0/15"), ["96.10.in-addr.arpa", "97.10.in-addr.arpa"]);
  assert.equal(of("10.96.0.0/12").length, 16);
  assert.deepEqual(of("2001:db8:1::/48"), ["1.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"]);
  assert.deepEqual(of("fd00::/63"), [
    `0.${"0.".repeat(13)}d.f.ip6.arpa`,
    `1.${"0.".repeat(13)}d.f.ip6.arpa`,
  ]);
  assert.deepEqual(of(), []);
});

test("a domain of which most is there stands for all of it, and half of one does not", () => {
  const holed = without(subnet("10.96.0.0/12"), [subnet("10.100.0.53")]);
  const domains = reverseDomains(holed, 200);
  assert.equal(domains.length, 16);
  assert.ok(domains.includes("100.10.in-addr.arpa"));
  const half = of("10.128.0.0/9");
  assert.equal(half.length, 128);
  assert.ok(!half.includes("10.in-addr.arpa"));
});

test("there is an end to them: the largest come first", () => {
  const domains = reverseDomains([subnet("10.0.0.128/25"), subnet("172.16.0.0/16")], 3);
  assert.equal(domains.length, 3);
  assert.equal(domains[0], "16.172.in-addr.arpa");
});
