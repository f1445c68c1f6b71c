/**
 * JSONPath (RFC 9535) without its functions: names, indices, slices, wildcards, descendants, and filters with
 * comparisons, existence, `&&`, `||` and `!`. The body comes from anywhere: the work is bounded.
 */

import { type Logical, type Query, QueryParser, type Selector } from "./json-path-query.ts";

/** Values visited by one query. A body is at most 64 KiB. */
const MAX_VISITED = 100_000;
/** serde_json's, mirrord's. */
const MAX_DEPTH = 128;

export type JsonPath = (root: unknown) => readonly unknown[];

/** @throws SyntaxError */
export function parseJsonPath(source: string): JsonPath {
  const parser = new QueryParser(source);
  const query = parser.whole();
  return (root) => {
    const budget = { left: MAX_VISITED };
    try {
      return run(query, root, root, budget);
    } catch (error) {
      if (error === EXHAUSTED) return [];
      throw error;
    }
  };
}

const EXHAUSTED = new Error("too much to visit");
/** What a query that finds nothing is worth in a comparison. */
const NOTHING = Symbol("nothing");

interface Budget {
  left: number;
}

function run(query: Query, root: unknown, current: unknown, budget: Budget): unknown[] {
  let nodes: unknown[] = [query.isRelative ? current : root];
  for (const { isDescendant, selectors } of query.segments) {
    const from = isDescendant ? nodes.flatMap((node) => descendants(node, budget)) : nodes;
    nodes = [];
    for (const node of from) {
      for (const selector of selectors) select(selector, node, root, nodes, budget);
    }
  }
  return nodes;
}

/** `node` and all below it, parents first. */
function descendants(node: unknown, budget: Budget): unknown[] {
  const found: unknown[] = [];
  const stack: { readonly value: unknown; readonly depth: number }[] = [{ value: node, depth: 0 }];
  for (let top = stack.pop(); top !== undefined; top = stack.pop()) {
    spend(budget);
    found.push(top.value);
    if (top.depth > MAX_DEPTH) throw EXHAUSTED;
    const depth = top.depth + 1;
    for (const value of children(top.value).reverse()) stack.push({ value, depth });
  }
  return found;
}

function select(
  selector: Selector,
  node: unknown,
  root: unknown,
  into: unknown[],
  budget: Budget,
): void {
  spend(budget);
  switch (selector.kind) {
    case "name":
      if (isObject(node) && Object.hasOwn(node, selector.name)) into.push(node[selector.name]);
      return;
    case "index": {
      if (!Array.isArray(node)) return;
      const at = selector.index < 0 ? node.length + selector.index : selector.index;
      if (at >= 0 && at < node.length) into.push(node[at]);
      return;
    }
    case "slice":
      if (Array.isArray(node)) {
        for (const at of sliced(selector, node.length)) {
          spend(budget);
          into.push(node[at]);
        }
      }
      return;
    default:
      for (const child of children(node)) {
        spend(budget);
        if (selector.kind === "wildcard" || holds(selector.test, root, child, budget)) {
          into.push(child);
        }
      }
  }
}

function spend(budget: Budget): void {
  budget.left -= 1;
  if (budget.left < 0) throw EXHAUSTED;
}

function* sliced(slice: { start?: number; end?: number; step: number }, length: number) {
  const { step } = slice;
  const absolute = (at: number): number => (at < 0 ? length + at : at);
  if (step > 0) {
    const start = Math.min(Math.max(absolute(slice.start ?? 0), 0), length);
    const end = Math.min(Math.max(absolute(slice.end ?? length), 0), length);
    for (let at = start; at < end; at += step) yield at;
  } else if (step < 0) {
    const start = Math.min(Math.max(absolute(slice.start ?? length - 1), -1), length - 1);
    const end = Math.min(
      Math.max(slice.end === undefined ? -1 : absolute(slice.end), -1),
      length - 1,
    );
    for (let at = start; at > end; at += step) yield at;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function children(value: unknown): unknown[] {
  if (Array.isArray(value)) return [...value];
  return isObject(value) ? Object.values(value) : [];
}

function holds(test: Logical, root: unknown, current: unknown, budget: Budget): boolean {
  spend(budget);
  switch (test.kind) {
    case "and":
      return test.of.every((one) => holds(one, root, current, budget));
    case "or":
      return test.of.some((one) => holds(one, root, current, budget));
    case "not":
      return !holds(test.of, root, current, budget);
    case "exists":
      return run(test.query, root, current, budget).length > 0;
    default: {
      const [left, right] = [test.left, test.right].map((operand) => {
        if (operand.kind === "literal") return operand.value;
        const found = run(operand.query, root, current, budget);
        return found.length > 0 ? found[0] : NOTHING;
      });
      return compare(test.op, left, right, budget);
    }
  }
}

function compare(op: string, left: unknown, right: unknown, budget: Budget): boolean {
  switch (op) {
    case "==":
      return equal(left, right, budget);
    case "!=":
      return !equal(left, right, budget);
    case "<":
      return less(left, right);
    case ">":
      return less(right, left);
    case "<=":
      return less(left, right) || equal(left, right, budget);
    default:
      return less(right, left) || equal(left, right, budget);
  }
}

function equal(left: unknown, right: unknown, budget: Budget): boolean {
  spend(budget);
  if (Array.isArray(left) && Array.isArray(right)) {
    return left.length === right.length && left.every((one, i) => equal(one, right[i], budget));
  }
  if (isObject(left) && isObject(right)) {
    const keys = Object.keys(left);
    return (
      keys.length === Object.keys(right).length &&
      keys.every((key) => Object.hasOwn(right, key) && equal(left[key], right[key], budget))
    );
  }
  return left === right;
}

/** By code points, not by UTF-16 units. */
function less(left: unknown, right: unknown): boolean {
  if (typeof left === "number" && typeof right === "number") return left < right;
  if (typeof left !== "string" || typeof right !== "string") return false;
  const [a, b] = [[...left], [...right]];
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const [x, y] = [a[i]?.codePointAt(0) ?? 0, b[i]?.codePointAt(0) ?? 0];
    if (x !== y) return x < y;
  }
  return a.length < b.length;
}
