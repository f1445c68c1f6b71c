import assert from "node:assert/strict";
import { test } from "node:test";
import { nsswitchWithPodHosts } from "../src/rules/resolver.ts";

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
