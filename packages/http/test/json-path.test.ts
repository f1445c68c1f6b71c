import assert from "node:assert/strict";
import { test } from "node:test";
import { parseJsonPath } from "../src/filter/json-path.ts";

/** RFC 9535, section 1.5, shortened. */
const STORE = {
  store: {
    book: [
      { category: "reference", author: "Rees", title: "Sayings", price: 8.95 },
      { category: "fiction", author: "Waugh", title: "Sword", price: 12.99 },
      {
        category: "fiction",
        author: "Melville",
        title: "Moby Dick",
        isbn: "0-553-21311-3",
        price: 8.99,
      },
      {
        category: "fiction",
        author: "Tolkien",
        title: "The Lord",
        isbn: "0-395-19395-8",
        price: 22.99,
      },
    ],
    bicycle: { color: "red", price: 399 },
  },
};

const find = (query: string, root: unknown = STORE) => parseJsonPath(query)(root);

test("the RFC's examples find what it says", () => {
  const authors = ["Rees", "Waugh", "Melville", "Tolkien"];
  const titles = (query: string) => find(query).map((book) => (book as { title: string }).title);
  assert.deepEqual(find("$.store.book[*].author"), authors);
  assert.deepEqual(find("$..author"), authors);
  assert.deepEqual(find("$.store.*"), [STORE.store.book, STORE.store.bicycle]);
  assert.deepEqual([...find("$.store..price")].sort(), [12.99, 22.99, 399, 8.95, 8.99]);
  assert.deepEqual(titles("$..book[2]"), ["Moby Dick"]);
  assert.deepEqual(titles("$..book[-1]"), ["The Lord"]);
  assert.deepEqual(titles("$..book[0,1]"), ["Sayings", "Sword"]);
  assert.deepEqual(titles("$..book[:2]"), ["Sayings", "Sword"]);
  assert.deepEqual(titles("$..book[?@.isbn]"), ["Moby Dick", "The Lord"]);
  assert.deepEqual(titles("$..book[?@.price<10]"), ["Sayings", "Moby Dick"]);
  assert.equal(find("$..*").length, 27);
});

test("names in all their forms", () => {
  const root = { "a b": { "'": 1, '"': 2, "\u263a": 3, j_1: 4, "": 5 }, __proto__x: 6 };
  assert.deepEqual(find("$['a b']['\\'']", root), [1]);
  assert.deepEqual(find('$["a b"]["\\""]', root), [2]);
  assert.deepEqual(find("$['a b']['\"']", root), [2]);
  assert.deepEqual(find("$['a b'].\u263a", root), [3]);
  assert.deepEqual(find("$['a b']['\\u263A']", root), [3]);
  assert.deepEqual(find("$ ['a b'] .j_1", root), [4]);
  assert.deepEqual(find("$['a b']['']", root), [5]);
  assert.deepEqual(find("$.toString", root), []);
  assert.deepEqual(find("$.length", [1]), []);
});

test("slices, also backwards", () => {
  const root = ["a", "b", "c", "d", "e", "f", "g"];
  assert.deepEqual(find("$[1:3]", root), ["b", "c"]);
  assert.deepEqual(find("$[5:]", root), ["f", "g"]);
  assert.deepEqual(find("$[1:5:2]", root), ["b", "d"]);
  assert.deepEqual(find("$[5:1:-2]", root), ["f", "d"]);
  assert.deepEqual(find("$[::-1]", root), [...root].reverse());
  assert.deepEqual(find("$[::0]", root), []);
  assert.deepEqual(find("$[-2:]", root), ["f", "g"]);
  assert.deepEqual(find("$[9:]", root), []);
});

test("filters compare, join and ask for existence", () => {
  const root = [{ b: 1, k: "x" }, { b: 2, k: "y" }, { b: null }, { c: [1, 2] }, "s", 3];
  assert.deepEqual(find("$[?@.b == 2].k", root), ["y"]);
  assert.deepEqual(find("$[?@.b]", root).length, 3);
  assert.deepEqual(find("$[?@.b == null]", root), [{ b: null }]);
  assert.deepEqual(find("$[?!@.b && @.c]", root), [{ c: [1, 2] }]);
  assert.deepEqual(find("$[?(@.b == 1 || @.k == 'y')].b", root), [1, 2]);
  assert.deepEqual(find("$[?@ == 's' || @ > 2]", root), ["s", 3]);
  assert.deepEqual(find("$[?@.c == $[3].c]", root), [{ c: [1, 2] }]);
  assert.deepEqual(find("$[?@.x == @.y]", [{}, 1]).length, 2, "nothing equals nothing");
  assert.deepEqual(find("$[?@.b != 1]", [{ b: 1 }, {}]), [{}]);
  assert.deepEqual(find("$[?@.c[?@ == 2]]", root), [{ c: [1, 2] }]);
});

for (const query of [
  "",
  "a",
  "$.",
  "$..",
  "$[",
  "$[]",
  "$[a]",
  "$[01]",
  "$[-0]",
  "$['a]",
  "$.a ",
  " $",
  "$[?]",
  "$[?1]",
  "$[?@.* == 1]",
  "$[?length(@) == 1]",
  "$[?@.a == ]",
  "$[?!@.a == 1]",
  "$[?(@.a]",
  "$.1a",
  "$[99999999999999999999]",
  `$[?${"(".repeat(100)}@.a${")".repeat(100)}]`,
]) {
  test(`refused: ${query.slice(0, 30)}`, () => {
    assert.throws(() => parseJsonPath(query), SyntaxError);
  });
}

test("what is too much to visit finds nothing", () => {
  const wide = Array.from({ length: 1000 }, () => [1, 2, 3]);
  assert.deepEqual(find("$..*..*..*..*[?$..*..*]", wide), []);
  let deep: unknown = 1;
  for (let i = 0; i < 20_000; i++) deep = [deep];
  assert.deepEqual(find("$..a", deep), []);
});
