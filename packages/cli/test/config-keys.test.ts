/** Each documented key is classified, and treated as it is classified. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { keysOf } from "../src/config/keys.ts";
import { fileSchema } from "../src/config/schema.ts";
import { loadValue, problems } from "./config-support.ts";
import { HARMLESS, type KnownKey, MIRRORD_KEYS, OWN_KEYS } from "./mirrord-keys.ts";

const keys = [...keysOf(fileSchema)];

/** `a.b` and 1 → { a: { b: 1 } } */
const nested = (path: string, value: unknown): unknown =>
  path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);

/** What the key cannot be without. */
const COMPANIONS: Readonly<Record<string, unknown>> = {
  "agent.image.registry": { agent: { image: { registry: "r", tag: "1" } } },
  "agent.image.tag": { agent: { image: { registry: "r", tag: "1" } } },
};

const EVERY: readonly KnownKey[] = [...MIRRORD_KEYS, ...OWN_KEYS];
for (const [path, value, effect] of EVERY)
  test(`${path}: ${effect}`, (t) => {
    const file = COMPANIONS[path] ?? nested(path, value);
    const start = () => loadValue(t, file);
    const isBelow = (key: string) => path === key || path.startsWith(`${key}.`);
    switch (effect) {
      case "works":
        assert.deepEqual(start().ignoredKeys, []);
        break;
      case "no effect": {
        const { ignoredKeys } = start();
        assert.equal(ignoredKeys.length, 1);
        for (const ignored of ignoredKeys) {
          assert.ok(isBelow(ignored.path), ignored.path);
          assert.match(ignored.why, /\w/);
        }
        break;
      }
      default: {
        const [, named = "", why = ""] =
          /^\.inpod\/inpod\.json: "([^"]+)" (.*)$/.exec(problems(start)) ?? [];
        assert.ok(isBelow(named), named);
        assert.match(why, effect === "refused" ? /^cannot be used: \w/ : /^is not supported yet/);
      }
    }
  });

test("a container goes with a kind of target", (t) => {
  const { target } = loadValue(t, { target: { deployment: "orders", container: "app" } });
  assert.equal(target, "deployment/orders/container/app");
});

for (const [path, value] of HARMLESS)
  test(`${path}: ${JSON.stringify(value)} asks for what is done anyway, and is accepted`, (t) => {
    assert.deepEqual(
      loadValue(t, nested(path, value)).ignoredKeys.map((key) => key.path),
      [path],
    );
  });

test("no key is forgotten: the schema knows each documented one, and no other", () => {
  const documented = new Set(EVERY.map(([path]) => path).concat("target.container"));
  const parents = new Set(
    [...documented].flatMap((path) =>
      path.split(".").map((_, index, parts) => parts.slice(0, index).join(".")),
    ),
  );
  const known = new Set(keys.map(({ path }) => path));
  assert.deepEqual(
    keys.map(({ path }) => path).filter((path) => !documented.has(path) && !parents.has(path)),
    [],
  );
  /** An ignored section is known as a whole. */
  const whole = keys.filter(({ facts }) => facts.effect !== "works").map(({ path }) => `${path}.`);
  assert.deepEqual(
    [...documented].filter(
      (path) => !known.has(path) && !whole.some((section) => path.startsWith(section)),
    ),
    [],
  );
});

test("every key says what it means; one that does not work says why, or is one of a later version", () => {
  for (const { path, facts } of keys) {
    assert.match(facts.what, /^[\w$`*]/, path);
    assert.doesNotMatch(facts.what, /\.$/, path);
    if (facts.effect === "no effect") assert.ok(facts.why, path);
    if (facts.effect === "works") assert.match(facts.since ?? "", /^\d+\.\d+\.\d+$/, path);
  }
});

const PATHS: readonly (readonly [target: unknown, path: string | undefined, namespace?: string])[] =
  [
    ["pod/a", "pod/a"],
    ["targetless", "targetless"],
    [{ path: "pod/a/container/c", namespace: "n" }, "pod/a/container/c", "n"],
    [
      { path: { deployment: "a", container: "c" }, namespace: "n" },
      "deployment/a/container/c",
      "n",
    ],
    [{ namespace: "n" }, undefined, "n"],
    [{ pod: "a", namespace: "n" }, "pod/a", "n"],
    [{ cron_job: "a" }, "cronjob/a"],
    [{ stateful_set: "a", container: "c" }, "statefulset/a/container/c"],
    [{ replica_set: "a" }, "replicaset/a"],
    [{ daemon_set: "a" }, "daemonset/a"],
    [{ rollout: "a" }, "rollout/a"],
    [{ job: "a" }, "job/a"],
    [{ service: "a" }, "service/a"],
    [{ labels: { app: "a", "example.com/tier": "web" } }, "label/app=a,example.com/tier=web"],
    [{ labels: "app=a,tier=", container: "c" }, "label/app=a,tier=/container/c"],
  ];
for (const [target, path, namespace] of PATHS)
  test(`target ${JSON.stringify(target)} is ${path ?? "none"}`, (t) => {
    const config = loadValue(t, { target });
    assert.deepEqual([config.target, config.namespace], [path, namespace]);
  });

const NO_TARGETS: readonly (readonly [target: unknown, said: RegExp])[] = [
  [{ pod: "a", deployment: "b" }, /"target" is an object; allowed: .*one kind of target/],
  [{ pod: "a", path: "pod/b" }, /"target" is an object; allowed: a path or a kind/],
  [{ container: "c" }, /"target" is an object; allowed: a container beside pod/],
  [{ path: "pod/a", container: "c" }, /"target" is an object; allowed: a container beside pod/],
  [{ path: {} }, /"target\.path" is an object; allowed: .*one kind/],
  [{ pod: "A B" }, /"target\.pod" is a string; allowed: a name/],
  [{ labels: {} }, /"target\.labels" is an object; allowed: an object of labels/],
  [{ labels: "app" }, /"target\.labels" is a string; allowed: an object of labels/],
  [{ labels: { "a b": "c" } }, /"target\.labels/],
  [{ statefulset: "a" }, /unknown key "target\.statefulset", did you mean "stateful_set"\?/],
  [{ path: { pods: "a" } }, /unknown key "target\.path\.pods", did you mean "pod"\?/],
  [{ namespace: "A" }, /"target\.namespace" is a string; allowed: a name/],
];
for (const [target, said] of NO_TARGETS)
  test(`target ${JSON.stringify(target)} is refused by its path`, (t) => {
    assert.match(
      problems(() => loadValue(t, { target })),
      said,
    );
  });
