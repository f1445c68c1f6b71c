import assert from "node:assert/strict";
import { test } from "node:test";
import {
  compileFilter,
  isConflict,
  parseFilter,
  type RequestFacts,
  Routes,
  relate,
  Subject,
} from "../src/index.ts";
import { Random } from "./support/random.ts";

const relation = (a: unknown, b: unknown): string => {
  const found = relate(parseFilter(a), parseFilter(b));
  return found.kind === "covered" ? `covered: ${found.what}` : found.kind;
};

const user = (name: string) => ({ header: `^x-user: ${name}$` });

test("filters that take the same are the same, however they are written", () => {
  for (const [a, b] of [
    [user("me"), user("ME")],
    [user("me"), { header: { name: "X-User", exact: "me", ignore_case: true } }],
    [{ path: "^/a" }, { path: { prefix: "/a", ignore_case: true } }],
    [{ any_of: [user("a"), user("b")] }, { any_of: [user("b"), user("a")] }],
    [{ all_of: [user("a")] }, user("a")],
    [{ header: "x|y" }, { header: "x|y" }],
    [{ none_of: [{ none_of: [user("a")] }] }, user("a")],
    [
      { body_filter: { body: "json", query: "$.a", matches: "b" } },
      { all_of: [{ body: "json", query: "$.a", matches: "b" }] },
    ],
  ] as const) {
    assert.equal(relation(a, b), "same", JSON.stringify([a, b]));
    assert.equal(relation(b, a), "same", JSON.stringify([b, a]));
  }
});

test("one developer each, told apart by one header, do not meet", () => {
  assert.equal(relation(user("me"), user("you")), "disjoint");
  assert.equal(relation({ path: "^/a/" }, { path: "^/b/" }), "disjoint");
  assert.equal(relation({ path: { prefix: "/a" } }, { path: { exact: "/b" } }), "disjoint");
  assert.equal(relation({ method: "GET" }, { method: "POST" }), "disjoint");
  assert.equal(relation(user("me"), { all_of: [user("you"), { path: "^/a" }] }), "disjoint");
  assert.equal(
    relation(user("me"), { all_of: [{ none_of: [user("me")] }, { path: "^/a" }] }),
    "disjoint",
  );
  assert.equal(
    relation(user("me"), { header: { name: "x-user", matches: "^you\\d?$" } }),
    "disjoint",
  );
});

test("one inside the other is a conflict", () => {
  assert.equal(relation(user("me"), { header: "^x-user: m" }), "covered: first");
  assert.equal(relation({ header: { name: "x-user" } }, user("me")), "covered: second");
  assert.equal(
    relation({ path: { exact: "/api/v1" } }, { path: { prefix: "/api" } }),
    "covered: first",
  );
  assert.equal(relation(user("me"), { all_of: [user("me"), { path: "^/a" }] }), "covered: second");
  assert.equal(relation(user("me"), { header: "x-(user|id): m" }), "covered: first");
  assert.equal(relation(user("me"), { none_of: [user("you")] }), "covered: first");
  assert.equal(
    relation({ any_of: [user("a"), user("b")] }, { any_of: [user("b"), user("c")] }),
    "covered: a part of both",
  );
});

test("what may meet, or cannot be compared, is open", () => {
  assert.equal(relation(user("me"), { path: "^/api" }), "open");
  assert.equal(relation({ header: "a.*b" }, { header: "a.*c" }), "open");
  assert.equal(
    relation({ header: { name: "x", exact: "Me" } }, { header: { name: "x", matches: "m[a-z]*" } }),
    "covered: first",
  );
  assert.equal(
    relation(
      { header: { name: "x", exact: "me", ignore_case: true } },
      { header: { name: "x", exact: "me" } },
    ),
    "covered: second",
  );
  const wide = {
    all_of: Array.from({ length: 8 }, (_, i) => ({ any_of: [user(`${i}`), { path: `^/${i}` }] })),
  };
  assert.equal(relation(wide, user("1")), "open", "too many alternatives");
});

test("random filters: whatever is judged is so for random requests", () => {
  const random = new Random(31);
  const text = () => random.pick(["a", "ab", "abc", "b", "A", ""]);
  const condition = (): unknown => {
    const form = random.pick(["exact", "prefix", "matches"]);
    const value = {
      [form]: form === "matches" ? random.pick(["a", "^a", "b$", "^ab$"]) : text(),
      ignore_case: random.chance(0.5),
    };
    return random.pick([
      { header: { name: random.pick(["x", "y"]), ...value } },
      { path: form === "matches" ? value : { ...value, [form]: `/${text()}` } },
      { header: random.pick(["^x: a$", "^x: a", "x: a", "^(x|y): ab", "^y:"]) },
      { method: random.pick(["GET", "POST", "G.*"]) },
    ]);
  };
  const filter = (depth: number): unknown =>
    depth === 0 || random.chance(0.4)
      ? condition()
      : {
          [random.pick(["all_of", "any_of", "none_of"])]: Array.from(
            { length: 1 + random.below(2) },
            () => filter(depth - 1),
          ),
        };
  const requests: RequestFacts[] = [];
  for (const method of ["GET", "POST"]) {
    for (const path of ["/", "/a", "/AB", "/abc", "/b", "/a?b", "/?a"]) {
      for (const x of [undefined, "", "a", "ab", "AB", "abc", "b"]) {
        for (const y of [undefined, "a", "ABC", "b"]) {
          const headers = Object.entries({ x, y }).flatMap(([name, value]) =>
            value === undefined ? [] : [{ name, value }],
          );
          requests.push({ method, target: path, headers });
        }
      }
    }
  }
  const subjects = requests.map((facts) => new Subject(facts));
  const seen: Record<string, number> = {};
  for (let i = 0; i < 1000; i++) {
    const [a, b] = [filter(2), filter(2)];
    const first = compileFilter(parseFilter(a));
    const second = compileFilter(parseFilter(b));
    const found = relate(first.spec, second.spec);
    const name = found.kind === "covered" ? found.what : found.kind;
    seen[name] = (seen[name] ?? 0) + 1;
    if (name === "open") continue;
    for (const subject of subjects) {
      const [one, other] = [first.matches(subject), second.matches(subject)];
      const context = JSON.stringify([found, a, b, subject.paths, subject.lines, subject.method]);
      if (name === "same") assert.equal(one, other, context);
      else if (name === "disjoint") assert.ok(!(one && other), context);
      else if (name === "first") assert.ok(!one || other, context);
      else if (name === "second") assert.ok(!other || one, context);
    }
  }
  for (const kind of ["same", "disjoint", "first", "second", "open"]) {
    assert.ok((seen[kind] ?? 0) > 5, JSON.stringify(seen));
  }
});

test("of filters that match, the first has it; then who takes all; then the pod", () => {
  const routes = new Routes("pod");
  const ask = (headers: Readonly<Record<string, string>>, target = "/") =>
    routes.route({
      method: "GET",
      target,
      headers: Object.entries(headers).map(([name, value]) => ({ name, value })),
    });
  assert.equal(routes.add("ann", parseFilter(user("ann"))), undefined);
  assert.equal(routes.add("bob", parseFilter({ path: "^/bob" })), undefined);
  assert.equal(ask({ "x-user": "ann" }), "ann");
  assert.equal(ask({ "x-user": "ann" }, "/bob"), "ann");
  assert.equal(ask({}, "/bob"), "bob");
  assert.equal(ask({}), "pod");
  assert.equal(routes.add("eve", undefined), undefined);
  assert.equal(ask({}), "eve");
  assert.equal(ask({ "x-user": "ann" }), "ann");
  routes.remove("ann");
  assert.equal(ask({ "x-user": "ann" }), "eve");
  routes.remove("eve");
  assert.equal(ask({ "x-user": "ann" }), "pod");
  assert.equal(routes.isUnfiltered, false);
  routes.remove("bob");
  assert.equal(routes.isUnfiltered, true);
  assert.equal(routes.size, 0);
});

test("a conflict names its holder, and changes nothing", () => {
  const routes = new Routes("pod");
  routes.add("ann", parseFilter(user("ann")));
  const conflict = routes.add("bob", parseFilter({ header: "^x-user: a" }));
  assert.equal(conflict?.holder, "ann");
  assert.ok(conflict?.relation && isConflict(conflict.relation));
  assert.equal(routes.size, 1);
  assert.equal(routes.add("eve", undefined), undefined);
  assert.deepEqual(routes.add("joe", undefined), { holder: "eve", relation: undefined });
});

test("an earlier filter that needs the body is asked again with it", () => {
  const routes = new Routes("pod");
  routes.add(
    "ann",
    parseFilter({ all_of: [{ method: "POST" }, { body: "json", query: "$.a", matches: "1" }] }),
  );
  routes.add("bob", parseFilter({ path: "^/" }));
  const post = { method: "POST", target: "/", headers: [] };
  assert.equal(routes.route({ ...post, method: "GET" }), "bob");
  assert.equal(routes.route(post), "needs-body");
  assert.equal(routes.routeWithBody(post, new TextEncoder().encode('{"a": 1}')), "ann");
  assert.equal(routes.routeWithBody(post, new TextEncoder().encode('{"a": 2}')), "bob");
  assert.equal(routes.routeWithBody(post, undefined), "bob");
});
