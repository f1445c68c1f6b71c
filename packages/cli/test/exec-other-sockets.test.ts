/** Sockets that are no business of inpod's: sandbox/witness/talk/alone.c sees the same without inpod and under it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Run, startInpod, useSandbox } from "./exec-support.ts";
import { casesOf, NO_IPV6, program, SETTINGS } from "./talk-support.ts";

const { sandbox } = await useSandbox({ hasIPv6: !NO_IPV6 });

// A new network namespace allows echo sockets to nobody.
const allow = `echo "$(id -g) $(id -g)" > /proc/sys/net/ipv4/ping_group_range`;
await new Run(sandbox.inLaptop(["sh", "-c", allow])).ended;
const argv = ["env", `POD=${SETTINGS.POD}`, await program("talk-alone")];
const here = await new Run(sandbox.inLaptop(argv)).ended;
const there = await (await startInpod(sandbox, argv, { flags: ["--steal"] })).ended;
assert.equal(here.code, 0, here.stderr);
assert.equal(there.code, 0, there.stderr);
const without = casesOf(here.stdout);
const under = casesOf(there.stdout);

/** `shows`: what has happened without inpod, where this machine allows it. */
const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["icmp", "echo sockets (ping)", /^answer: 8 from 127\.0\.0\.1 0, type 0, id 4c4c, sequence 7$/m],
  ["raw", "raw sockets", /^answer: 28 from 127\.0\.0\.1 0, type 0, id 4c4c, sequence 7$/m],
  ["packets", "packet sockets", /^packet: 28 bytes, ICMP type 0, of kind \d, protocol 800$/m],
  ["netlink", "netlink: routes, links and addresses", /^lo 127\.0\.0\.1 0$/m],
  ["others", "other families, types and protocols", /^no such family: EAFNOSUPPORT$/m],
];
for (const [name, what, shows] of CASES) {
  test(`as without inpod: ${what}`, (t) => {
    const seen = without.get(name) ?? "";
    assert.equal(under.get(name), seen);
    if (/^socket: E(PERM|ACCES)$/m.test(seen)) t.skip("this user may not have such sockets here");
    else assert.match(seen, shows);
  });
}
