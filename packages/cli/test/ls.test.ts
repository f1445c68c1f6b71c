import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { parseArguments } from "../src/arguments.ts";
import { age, type Column, table } from "../src/text/table.ts";

const ls = (...argv: string[]) => {
  const parsed = parseArguments(["ls", ...argv]);
  return parsed.kind === "ls" ? parsed : assert.fail(`it was understood as ${parsed.kind}`);
};

test("kinds are words as kubectl knows them: plural, short, with commas; none means all", () => {
  assert.equal(ls().kinds, undefined);
  assert.equal(ls("all").kinds, undefined);
  assert.deepEqual(ls("pods", "deploy,sts").kinds, ["pod", "deployment", "statefulset"]);
  assert.deepEqual(ls("svc", "services", "Service").kinds, ["service"]);
  const { kinds, areContainersWanted } = ls("containers");
  assert.deepEqual([kinds, areContainersWanted], [["pod"], true]);
  assert.throws(
    () => ls("deploymnet"),
    (error) => error instanceof UserError && error.hints[0] === "did you mean deployment?",
  );
});

test("where, which and how are flags", () => {
  const { flags, isEverywhere, labelSelector, output } = ls(
    ..."-n shop -A -l app=orders,tier!=web -o json --context prod".split(" "),
  );
  assert.equal(flags.namespace, "shop");
  assert.equal(flags.context, "prod");
  assert.deepEqual([isEverywhere, labelSelector, output], [true, "app=orders,tier!=web", "json"]);
  assert.equal(ls().output, "table");
  assert.throws(() => ls("-o", "yaml"), UserError);
});

const COLUMNS: readonly Column[] = [
  { title: "TARGET" },
  { title: "AGE", expendable: 1 },
  { title: "NODE", expendable: 2 },
  { title: "WHY", leastWidth: 6 },
];
const ROWS = [
  ["pod/orders", "5d", "node-1", ""],
  ["pod/x", "12m", "node-2", "it waits: ImagePullBackOff"],
];

test("without a terminal nothing is cut, and an empty column is left out", () => {
  assert.deepEqual(table(COLUMNS, ROWS, undefined), [
    "TARGET      AGE  NODE    WHY",
    "pod/orders  5d   node-1",
    "pod/x       12m  node-2  it waits: ImagePullBackOff",
  ]);
  assert.deepEqual(table(COLUMNS, [["pod/a", "1s", "", ""]], undefined), [
    "TARGET  AGE",
    "pod/a   1s",
  ]);
});

test("on a terminal no line is wider: what may be cut is cut, then columns go, and paths stay whole", () => {
  assert.deepEqual(table(COLUMNS, ROWS, 40), [
    "TARGET      AGE  NODE    WHY",
    "pod/orders  5d   node-1",
    "pod/x       12m  node-2  it waits: Imag…",
  ]);
  for (let width = 18; width < 60; width++)
    for (const line of table(COLUMNS, ROWS, width)) assert.ok(line.length <= width, line);
  assert.deepEqual(table(COLUMNS, ROWS, 5)[1], "pod/orders");
});

test("an age is one number with the unit that tells most", () => {
  const at = (seconds: number) => age(new Date(0).toISOString(), seconds * 1000);
  assert.deepEqual([0, 119, 120, 7199, 7200, 172_799, 172_800].map(at), [
    "0s",
    "119s",
    "2m",
    "119m",
    "2h",
    "47h",
    "2d",
  ]);
  assert.equal(age(null, 0), "");
});
