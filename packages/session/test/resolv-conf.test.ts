import assert from "node:assert/strict";
import { test } from "node:test";
import {
  addressesInHosts,
  candidates,
  ndotsOf,
  parseResolvConf,
} from "../src/names/resolv-conf.ts";

test("a pod's resolv.conf gives its name servers and search list", () => {
  assert.deepEqual(
    parseResolvConf(
      "search shop.svc.cluster.local svc.cluster.local Cluster.Local.\nnameserver 10.96.0.10\nnameserver\tfd00::a \noptions ndots:5\n",
    ),
    {
      nameservers: ["10.96.0.10", "fd00::a"],
      searchDomains: ["shop.svc.cluster.local", "svc.cluster.local", "cluster.local"],
    },
  );
});

test("comments, broken lines and foreign words are ignored, and the last search list counts", () => {
  assert.deepEqual(
    parseResolvConf(
      "# nameserver 1.1.1.1\n;nameserver 1.1.1.2\n nameserver 1.1.1.3\nnameserver\nnameserver one\nnameservers 1.1.1.4\nsearch a b\ndomain c\nnameserver 1.1.1.5",
    ),
    { nameservers: ["1.1.1.5"], searchDomains: ["c"] },
  );
});

test("a file without name servers means the loopback address, as to libc", () => {
  assert.deepEqual(parseResolvConf("").nameservers, ["127.0.0.1"]);
});

test("a file without end is read in part, and its lists are bounded", () => {
  const endless = `nameserver 10.0.0.1\nsearch${" d".repeat(1000)}\n`.repeat(100);
  const { nameservers, searchDomains } = parseResolvConf(endless);
  assert.equal(nameservers.length, 16);
  assert.equal(searchDomains.length, 64);
  const late = `${"#\n".repeat(40_000)}nameserver 10.0.0.1\n`;
  assert.deepEqual(parseResolvConf(late).nameservers, ["127.0.0.1"]);
});

test("names are looked for in the order of resolv.conf(5)", () => {
  const search = ["a.svc", "svc"];
  assert.deepEqual(candidates("api", search, 5), ["api.a.svc", "api.svc", "api"]);
  assert.deepEqual(candidates("api.b", search, 1), ["api.b", "api.b.a.svc", "api.b.svc"]);
  assert.deepEqual(candidates("api.", search, 5), ["api"]);
  assert.equal(ndotsOf("nameserver 1.1.1.1\noptions timeout:1 ndots:5\n"), 5);
  assert.equal(ndotsOf("nameserver 1.1.1.1\n"), 1);
});

test("a hosts file's names are read without their case, and comments are none", () => {
  const hosts = "127.0.0.1 localhost\n10.0.0.7\tOrders orders.shop # ndots\nnonsense orders\n";
  assert.deepEqual(addressesInHosts(hosts, "orders"), ["10.0.0.7"]);
  assert.deepEqual(addressesInHosts(hosts, "ndots"), []);
});
