/** UDP sockets' descriptors, copied, inherited and passed: sandbox/witness/talk/numbers.c sees the same in the pod and through inpod. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NETWORK } from "@inpod/sandbox";
import { useSandbox } from "./exec-support.ts";
import { inPodAndThrough, startPeer } from "./talk-support.ts";

const { sandbox } = await useSandbox();

await startPeer(sandbox, [NETWORK.client.address]);
const seen = await inPodAndThrough(sandbox, "talk-numbers", []);

const CASES: readonly (readonly [name: string, what: string, shows: RegExp])[] = [
  ["selecting", "select", /^below FD_SETSIZE: 1\nsendto: 1\nselect: 1\nreadable: 1$/m],
  ["copied", "dup and F_DUPFD", /^dup: \d+, from 198\.18\.200\.9 7104: [\d.]+ PORT: dup$/m],
  ["inherited", "over fork and exec", /^after exec: \d+, from 198\.18\.200\.9 7104: /m],
  ["closed", "closed, and made again", /^after closing all: EBADF\nanew: \d+, from 198/m],
  ["low", "at low numbers: dup2, dup3, SCM_RIGHTS", /^passed: \d+, from 198\.18\.200\.9 7104: /m],
  ["many", "more of them than there are numbers", /^last: \d+, from 198\.18\.200\.9 7104: /m],
];

test("where calls with messages are not seen is told, once", () => {
  const told = seen.stderr.match(/program has a UDP socket at a descriptor below 900/g);
  assert.equal(told?.length ?? seen.stderr, 1);
});

for (const [name, what, shows] of CASES) {
  test(`as in the pod: ${what}`, () => {
    assert.match(seen.inPod.get(name) ?? "", shows);
    assert.equal(seen.through.get(name), seen.inPod.get(name));
  });
}
