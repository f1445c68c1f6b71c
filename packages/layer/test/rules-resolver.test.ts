import assert from "node:assert/strict";
import { test } from "node:test";
import { nsswitchWithPodHosts, parseResolvConf } from "../src/rules/resolver.ts";

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

for (const [name, before, after] of [
  [
    "is changed",
    "passwd: files systemd\nhosts:  files mymachines resolve [!UNAVAIL=return] dns # x\n\n# hosts: y\nnetworks: files",
    "passwd: files systemd\nhosts: files dns\n\n# hosts: y\nnetworks: files",
  ],
  [
    "is changed wherever it stands",
    "\thosts :mdns\nhosts: sss\n",
    "hosts: files dns\nhosts: files dns\n",
  ],
  ["is added", "passwd: files\n", "passwd: files\nhosts: files dns\n"],
  ["is added after an unfinished line", "# \u00ff", "# \u00ff\nhosts: files dns\n"],
  ["is all of an empty file", "", "hosts: files dns\n"],
  ["is not a line that only ends in its name", "myhosts: x\n", "myhosts: x\nhosts: files dns\n"],
] as const) {
  test(`nsswitch.conf: the hosts line ${name}, all else stays byte for byte`, () => {
    assert.equal(nsswitchWithPodHosts(before), after);
  });
}
