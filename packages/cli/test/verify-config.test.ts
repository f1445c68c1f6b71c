/** `inpod verify-config`, as a person meets it. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { join } from "node:path";
import { before, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { directoryWith } from "./config-support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const cli = process.env.INPOD_TEST_CLI ?? join(root, "dist/cli.js");
before(() => {
  if (process.env.INPOD_TEST_CLI === undefined)
    execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "ignore" });
});

function verify(
  t: TestContext,
  files: Record<string, string>,
  args: readonly string[] = [],
  env: Record<string, string> = {},
) {
  const directory = directoryWith(t, { x: "", ...files });
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, "verify-config", ...args], {
    cwd: directory,
    encoding: "utf8",
    timeout: 120_000,
    env: { PATH: process.env.PATH ?? "", HOME: directory, ...env },
  });
  return { status, stdout, stderr };
}
const FILE = ".inpod/inpod.json";

test("a good file is said to be good, with what of it has no effect", (t) => {
  const file = { target: "pod/a", telemetry: false, feature: { network: { incoming: "steal" } } };
  const run = verify(t, { [FILE]: JSON.stringify(file) });
  assert.deepEqual(run, {
    status: 0,
    stdout:
      ".inpod/inpod.json is good\n" +
      '"telemetry" has no effect: inpod reports nothing to anybody\n',
    stderr: "",
  });
});

test("another file is named by -f or alone, and may lack a target", (t) => {
  const files = { "other.yaml": "feature: {network: {incoming: 'off'}}\n" };
  for (const args of [["-f", "other.yaml"], ["other.yaml"]]) {
    const { status, stdout } = verify(t, files, args);
    assert.equal(status, 0);
    assert.equal(stdout, "other.yaml is good\nit names no target: --target does\n");
  }
});

test("every problem is told at once, with exit code 2 and nothing on stdout", (t) => {
  const file = { traget: "pod/a", target: "pods/a", agent: { ttl: -1 }, operator: true };
  const { status, stdout, stderr } = verify(t, { [FILE]: JSON.stringify(file) });
  assert.equal(status, 2);
  assert.equal(stdout, "");
  assert.match(stderr, /^error: 4 problems in \.inpod\/inpod\.json\n/);
  assert.match(stderr, /did you mean "target"\?/);
  assert.match(stderr, /"agent\.ttl" is a number; allowed/);
  assert.match(stderr, /"operator" cannot be used: /);
  assert.match(stderr, /"pods\/a" is no target; did you mean pod\/…\?/);
});

test("no file, one that cannot be read, and a target that is none are not good", (t) => {
  assert.match(verify(t, {}).stderr, /no configuration file in its usual places/);
  assert.match(verify(t, {}, ["no.json"]).stderr, /cannot read the configuration file no\.json/);
  const { status, stderr } = verify(t, { [FILE]: '{"target": "pods/a"}' });
  assert.equal(status, 2);
  assert.match(stderr, /"pods\/a" is no target/);
});

test("--resolved prints what counts and who said it, without secrets", (t) => {
  const file = {
    target: { deployment: "orders", container: "app" },
    feature: { env: { override: { PASSWORD: "{{ get_env(name='PW') }}" } } },
    telemetry: false,
  };
  const { status, stdout } = verify(
    t,
    { [FILE]: JSON.stringify(file) },
    ["--resolved", "--steal", "-k", "fix-42"],
    { PW: "hunter2", MIRRORD_AGENT_TTL: "5" },
  );
  assert.equal(status, 0);
  assert.doesNotMatch(stdout, /hunter2/);
  const { values, ...rest } = JSON.parse(stdout) as {
    values: Record<string, { value: unknown; from: string }>;
  };
  assert.deepEqual(rest, {
    file: FILE,
    ownConfiguration: null,
    withoutEffect: [{ path: "telemetry", why: "inpod reports nothing to anybody" }],
  });
  for (const [path, value, from] of [
    ["target.path", "deployment/orders/container/app", "file"],
    ["feature.env.override", { PASSWORD: "<redacted>" }, "file"],
    ["feature.network.incoming.mode", "steal", "flag"],
    ["key", "fix-42", "flag"],
    ["agent.ttl", 5, "variable MIRRORD_AGENT_TTL"],
    ["feature.fs.mode", "read", "default"],
  ] as const)
    assert.deepEqual(values[path], { value, from }, path);
});

test("--resolved needs no file", (t) => {
  const { status, stdout } = verify(t, {}, ["--resolved"]);
  assert.equal(status, 0);
  assert.equal((JSON.parse(stdout) as { file: unknown }).file, null);
});

test("--schema prints the schema that the repository has", (t) => {
  const { status, stdout } = verify(t, {}, ["--schema"]);
  assert.equal(status, 0);
  const schema = JSON.parse(stdout) as { properties: Record<string, unknown> };
  assert.ok("target" in schema.properties);
});
