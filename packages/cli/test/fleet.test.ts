/** Which of a workload's pods are taken from, and in which words that is said. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { decide, type Situation } from "../src/exec/fleet/decide.ts";
import { changeWords, countWords, takenWords } from "../src/exec/fleet/words.ts";

/** "a b? c!": ready, not ready, ending. */
const pods = (text: string): Situation["pods"] =>
  text
    .split(" ")
    .filter(Boolean)
    .map((word) => ({
      id: word.replace(/[?!]$/, ""),
      state: word.endsWith("!") ? "ending" : word.endsWith("?") ? "unready" : "ready",
    }));
const after = (text: string, more: Partial<Situation> = {}): string => {
  const { join, leave } = decide({
    pods: pods(text),
    own: "a",
    members: [],
    refused: new Set(),
    limit: 5,
    ...more,
  });
  return [...join.map((id) => `+${id}`), ...leave.map((id) => `-${id}`)].join(" ");
};

test("all ready pods but the target's own are joined, up to the limit, in their order", () => {
  assert.equal(after("a b c"), "+b +c");
  assert.equal(after("a b c d e f g"), "+b +c +d +e");
  assert.equal(after("a b c d e f g", { limit: 2 }), "+b");
  assert.equal(after("a b c d e f g", { limit: Number.POSITIVE_INFINITY }), "+b +c +d +e +f +g");
  assert.equal(after("a b c", { limit: 1 }), "");
  assert.equal(after("a"), "");
});

test("what is not ready yet is not joined, and what is not ready any more is kept", () => {
  assert.equal(after("a b? c"), "+c");
  assert.equal(after("a b? c", { members: ["b", "c"] }), "");
});

test("a pod that ends is kept until it is gone, and another one has its place", () => {
  assert.equal(after("a b! c d", { members: ["b", "c"], limit: 3 }), "+d");
  assert.equal(after("a c d", { members: ["b", "c", "d"], limit: 3 }), "-b");
  // Not known before: it is of no use.
  assert.equal(after("a b! c", { members: ["c"] }), "");
});

test("the target's own pod may end or be gone: until it has moved others have its place", () => {
  assert.equal(after("a! b c d", { members: ["b"], limit: 2 }), "+c");
  assert.equal(after("b c d", { members: ["b"], limit: 2 }), "+c");
});

test("the target moves to a pod that is joined: nothing changes; to another one: the last goes", () => {
  assert.equal(after("b c d", { own: "b", members: ["b", "c"], limit: 2 }), "");
  assert.equal(after("b c d", { own: "d", members: ["b", "c"], limit: 2 }), "-c");
});

test("one that has just failed is left out, and has no place", () => {
  assert.equal(after("a b c d", { refused: new Set(["b"]), limit: 3 }), "+c +d");
});

const taken = {
  mode: "steal",
  ports: [{ port: 80 }],
  pods: ["a", "b", "c"],
  ready: 3,
  of: "deployment/orders",
  limit: 5,
} as const;

test("the line says what is taken from whom, and of how many where that is not all", () => {
  assert.equal(takenWords(taken), "taking port 80 from 3 pods: a, b, c");
  assert.equal(
    takenWords({ ...taken, pods: ["a", "b"], ready: 7, limit: 2 }),
    "taking port 80 from 2 of 7 pods of deployment/orders: a, b (--replicas all: from all of them)",
  );
  // It is not the limit that keeps it from more.
  assert.equal(
    takenWords({ ...taken, pods: ["a"] }),
    "taking port 80 from 1 of 3 pods of deployment/orders: a",
  );
  assert.equal(
    takenWords({ ...taken, mode: "mirror", ports: [{ port: 80 }, { port: 53, protocol: "udp" }] }),
    "copying ports 80, 53/udp from 3 pods: a, b, c",
  );
  const many = Array.from({ length: 12 }, (_, index) => `p${index}`);
  assert.match(takenWords({ ...taken, pods: many, ready: 12 }), /: p0, .*, p9 and 2 more$/);
});

test("a change names who joined and who is gone", () => {
  assert.equal(changeWords(["a", "b"], ["a", "b", "c"]), "pod c joined");
  assert.equal(changeWords(["a", "b", "c"], ["c"]), "pods a, b are gone");
  assert.equal(changeWords(["a", "b"], ["a", "c"]), "pod c joined, pod b is gone");
});

test("connections are counted by the pod from which they came", () => {
  assert.equal(
    countWords([
      ["a", 3],
      ["b", 2],
      ["a", 1],
    ]),
    "connections that came: a 4, b 2",
  );
});
