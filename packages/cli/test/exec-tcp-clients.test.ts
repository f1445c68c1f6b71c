/** TCP clients in every way: sandbox/witness/talk/out.c sees the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { useSandbox, whenRefused } from "./exec-support.ts";
import { inPodAndThrough, NO_IPV6, startPeer } from "./talk-support.ts";

const { sandbox } = await useSandbox({ hasIPv6: !NO_IPV6 });

const { address, addressIPv6 } = NETWORK.client;
await startPeer(sandbox, NO_IPV6 ? [address] : [address, addressIPv6]);
// With --steal: what binds a port might be a server.
const seen = await inPodAndThrough(sandbox, "talk-out", [], { flags: ["--steal"] });

/** `shows`: what the pod's own run has told, without which the comparison would be about nothing. */
const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["blocking", "a blocking connect, and a second one", /^connect: 0\nagain: EISCONN$/m],
  ["nonblocking", "a non-blocking connect, poll, SO_ERROR", /^poll: 1 OUT\nSO_ERROR: 0$/m],
  ["mapped", "IPv4-mapped addresses on sockets of IPv6", /^peer: ::ffff:198(.|\n)*v6only: ENETUN/m],
  ["families", "addresses of another family, too short, too long, nowhere", /^nowhere: EFAULT$/m],
  ["fastopen", "TCP Fast Open in every form", /^send: 4\nagain: EISCONN$/m],
  ["reused", "connect(AF_UNSPEC), and the socket used again", /^in progress: EINPROGRESS$/m],
  ["bound", "sockets that were bound before, with their port", /^line: hello [\d.]+ 4100$/m],
  ["half", "half-close both ways, and a reset", /^read of a reset one: ECONNRESET$/m],
];

for (const [name, what, shows] of CASES) {
  test(`as in the pod: ${what}`, () => {
    assert.match(seen.inPod.get(name) ?? "", shows);
    assert.equal(whenRefused(seen.through.get(name) ?? ""), seen.inPod.get(name));
  });
}

test("as in the pod: destinations of IPv6, also refused and without a route", {
  skip: NO_IPV6,
}, () => {
  assert.match(seen.inPod.get("ipv6") ?? "", /^refused: ECONNREFUSED\nunreachable: ENETUNREACH$/m);
  assert.equal(seen.through.get("ipv6"), seen.inPod.get("ipv6"));
});
