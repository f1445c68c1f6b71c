import assert from "node:assert/strict";
import { test } from "node:test";
import { all, columns, judge, readFacts } from "../contract.ts";
import { readTable, withTable } from "../table.ts";

const IN_POD = `peer 1.1.1.1:1
local 2.2.2.2:2
out hello
to 3.3.3.3:80
from 2.2.2.2
dns 3.3.3.3
env value
file text of it
hostname pod
refused ECONNREFUSED
unreachable EHOSTUNREACH
unknown EAI_NONAME
`;
const SAID = IN_POD.replace("1.1.1.1:1", "9.9.9.9:9").replace("2.2.2.2:2", "2.2.2.2:7");
const ENDS = { peer: "9.9.9.9:9", local: "2.2.2.2:7" };
const WITHOUT = { "own resolver": "it has none" };
const inPod = readFacts(IN_POD);
const yesBut = (other: object): object => ({
  ...all({ kind: "yes" }),
  "own resolver": { kind: "none", why: "it has none" },
  ...other,
});

test("what is said as in the pod is a yes, what is not said with a reason has the reason", () => {
  assert.deepEqual(judge(inPod, [{ text: SAID, right: ENDS }], WITHOUT), yesBut({}));
});

test("one different value among many is a no that has both", () => {
  const other = { text: SAID.replace("dns 3.3.3.3", "dns 3.3.3.3\ndns 4.4.4.4"), right: ENDS };
  const why = "dns is 4.4.4.4, in the pod 3.3.3.3";
  const found = judge(inPod, [{ text: SAID, right: ENDS }, other], WITHOUT);
  assert.deepEqual(found, yesBut({ DNS: { kind: "no", why } }));
});

test("what is not said is a no, and so is what should not be said", () => {
  const silent = judge(inPod, [{ text: SAID.replace(/^env .*\n/m, ""), right: ENDS }], WITHOUT);
  assert.deepEqual(silent.environment, { kind: "no", why: "it does not say env" });
  const eloquent = judge(inPod, [{ text: SAID, right: ENDS }], { ...WITHOUT, file: "it cannot" });
  assert.deepEqual(eloquent.file, { kind: "no", why: "it should not, because it cannot" });
  assert.equal(judge(inPod, [], {}).incoming.kind, "no");
});

test("a connection's ends are those that the client has", () => {
  const { peer } = judge(inPod, [{ text: SAID, right: { ...ENDS, peer: "9.9.9.9:10" } }], WITHOUT);
  assert.deepEqual(peer, { kind: "no", why: "peer is 9.9.9.9:9, in the pod 9.9.9.9:10" });
});

test("a table that was written is read as what it was written from", () => {
  const page =
    "# Page\n\n<!-- the table of the run: begin -->\nold\n<!-- the table of the run: end -->\nend\n";
  const cells = judge(
    inPod,
    [{ text: SAID.replace("env value", "env other"), right: ENDS }],
    WITHOUT,
  );
  const missing = all({ kind: "none", why: "it is not to be had" });
  const results = [
    { name: "One, two", cells, version: "1.2", told: "" },
    { name: "Three", cells: missing, version: "", missing: "it is not to be had", told: "" },
  ];
  const circumstances = { day: "2026-01-02", kernel: "6.1.2", arch: "x86-64", user: "root" };
  const written = withTable(page, results, circumstances);
  assert.deepEqual(Object.fromEntries(readTable(written)), { "One, two": cells, Three: missing });
  assert.match(written, /^# Page\n/);
  assert.match(written, /Linux 6\.1\.2 on x86-64, as root/);
  assert.doesNotMatch(written, /^old$/m);
  assert.equal(withTable(written, results, circumstances), written);
  assert.equal(columns.length, 9);
});
