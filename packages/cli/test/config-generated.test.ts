/** What is made from the schema: it is up to date, and says what inpod does. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Ajv } from "ajv";
import { VALUES } from "../src/config/effective.ts";
import { withEnvironmentTables } from "../src/config/environment-tables.ts";
import { editorSchemas, withTables } from "../src/config/generated.ts";
import { isRead, keysOf, sectionOf } from "../src/config/keys.ts";
import { ownSchema } from "../src/config/own-config.ts";
import { fileSchema } from "../src/config/schema.ts";
import { loadValue } from "./config-support.ts";
import { HARMLESS, MIRRORD_KEYS, OWN_KEYS } from "./mirrord-keys.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const stored = (path: string) => readFileSync(join(root, path), "utf8");

test("docs/configuration.md, docs/environment.md and the editors' schemas are those of this schema (else: npm run config-docs)", () => {
  const document = stored("docs/configuration.md");
  assert.ok(withTables(document) === document, "docs/configuration.md is stale");
  const environment = stored("docs/environment.md");
  assert.ok(withEnvironmentTables(environment) === environment, "docs/environment.md is stale");
  for (const [path, schema] of Object.entries(editorSchemas()))
    assert.ok(`${JSON.stringify(schema, undefined, 2)}\n` === stored(path), `${path} is stale`);
});

test("each key that is read has a value that counts, or is another way to write one that has", () => {
  const every = [...keysOf(fileSchema), ...keysOf(ownSchema)];
  const read = every.filter(isRead);
  for (const { path, facts, schema } of read) {
    const hasKeysBelow = every.some((other) => other.path.startsWith(`${path}.`));
    if (path === "$schema" || (hasKeysBelow && sectionOf(schema))) continue;
    assert.ok((facts.into ?? path) in VALUES, path);
  }
  const paths = new Set(every.map(({ path }) => path));
  assert.deepEqual(
    Object.keys(VALUES).filter((path) => !paths.has(path)),
    [],
  );
  assert.ok(read.length > 60);
});

const ajv = new Ajv({ strict: false, allErrors: true });
const validate = ajv.compile(editorSchemas()["schema/inpod.schema.json"] ?? {});
const accepts = (value: unknown): boolean => validate(value) === true;

const nested = (path: string, value: unknown): unknown =>
  path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);

for (const [path, value, effect] of [...MIRRORD_KEYS, ...OWN_KEYS])
  test(`an editor ${effect === "works" || effect === "no effect" ? "accepts" : "refuses"} ${path}`, () => {
    assert.equal(
      accepts(nested(path, value)),
      effect === "works" || effect === "no effect",
      JSON.stringify(validate.errors),
    );
  });

test("an editor accepts what asks for what is done anyway", () => {
  for (const [path, value] of HARMLESS) assert.ok(accepts(nested(path, value)), path);
});

test("an editor and inpod agree about what is wrong", (t) => {
  for (const value of [
    { traget: "pod/a" },
    { target: 3 },
    { target: { pod: "A" } },
    { target: { pods: "a" } },
    { agent: { tolerations: [{ key: "a", effect: "Never" }] } },
    { agent: { resources: { limits: { memory: "1 Mi" } } } },
    { agent: { ttl: -1 } },
    { agent: { log_level: 3 } },
    { agent: { labels: { a: "b c" } } },
    { feature: { network: { incoming: "stael" } } },
    { feature: { network: { incoming: { ports: [0] } } } },
    { feature: { network: { incoming: { port_mapping: [[1]] } } } },
    { feature: { network: { outgoing: { filter: { remote: ["http://a"] } } } } },
    { feature: { env: { override: { A: 1 } } } },
    { feature: { fs: { mode: "raed" } } },
    { feature: { fs: "wriet" } },
    { on_disconnect: "maybe" },
    ["target"],
  ]) {
    assert.throws(() => loadValue(t, value), JSON.stringify(value));
    assert.equal(accepts(value), false, JSON.stringify(value));
  }
});

test("an editor lets a template stand where only some texts may", () => {
  for (const value of [
    { target: { pod: "{{ key }}" }, key: "{{ git_branch | slugify }}" },
    { feature: { fs: "{{ get_env(name='MODE') }}", network: { incoming: "{{ key }}" } } },
    { agent: { namespace: "a-{{ key }}", resources: { limits: { cpu: "{{ key }}" } } } },
  ])
    assert.ok(accepts(value), JSON.stringify(validate.errors));
});
