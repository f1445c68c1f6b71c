/** Which of the sources counts, for each key; and what each of them may say. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type EffectiveValue, effectiveValues } from "../src/config/effective.ts";
import { loadSources, type Sources } from "../src/config/load.ts";
import { directoryWith, problems } from "./config-support.ts";

/** @param own the user's own configuration */
function sourcesWith(
  t: TestContext,
  { file, own, ...sources }: { file?: unknown; own?: unknown } & Partial<Sources>,
): Sources {
  const directory = directoryWith(t, {
    "project/x": "",
    ...(file === undefined ? {} : { "project/.inpod/inpod.json": JSON.stringify(file) }),
    ...(own === undefined ? {} : { "home/.config/inpod/config.json": JSON.stringify(own) }),
  });
  return {
    flags: {},
    newKey: () => "made-up",
    ...sources,
    directory: join(directory, "project"),
    env: { HOME: join(directory, "home"), ...sources.env },
  };
}
const values = (t: TestContext, sources: Parameters<typeof sourcesWith>[1]) =>
  effectiveValues(loadSources(sourcesWith(t, sources)));

test("a variable counts before a flag, a flag before the file, the file before one's own, that before the default", (t) => {
  const own = { kube_context: "own" };
  const file = { kube_context: "file" };
  const flags = { context: "flag" };
  const env = { MIRRORD_KUBE_CONTEXT: "mirrord" };
  const context = (sources: Parameters<typeof sourcesWith>[1]): EffectiveValue | undefined =>
    values(t, sources).kube_context;
  assert.equal(context({}), undefined);
  assert.deepEqual(context({ own }), { value: "own", from: "own configuration" });
  assert.deepEqual(context({ own, file }), { value: "file", from: "file" });
  assert.deepEqual(context({ own, file, flags }), { value: "flag", from: "flag" });
  assert.deepEqual(context({ own, file, flags, env }), {
    value: "mirrord",
    from: "variable MIRRORD_KUBE_CONTEXT",
  });
  assert.deepEqual(context({ own, file, flags, env: { ...env, INPOD_KUBE_CONTEXT: "inpod" } }), {
    value: "inpod",
    from: "variable INPOD_KUBE_CONTEXT",
  });
});

test("every variable overrides its key, and says so", (t) => {
  const cases: Readonly<Record<string, readonly [text: string, path: string, value: unknown]>> = {
    IMPERSONATED_TARGET: ["pod/a", "target.path", "pod/a"],
    TARGET_NAMESPACE: ["n", "target.namespace", "n"],
    KUBE_CONTEXT: ["c", "kube_context", "c"],
    KUBECONFIG: ["/k", "kubeconfig", "/k"],
    AGENT_IMAGE: ["i", "agent.image", "i"],
    AGENT_STARTUP_TIMEOUT: ["9", "agent.startup_timeout", 9],
    AGENT_NAMESPACE: ["n", "agent.namespace", "n"],
    AGENT_RUST_LOG: ["debug", "agent.log_level", "debug"],
    AGENT_TTL: ["9", "agent.ttl", 9],
    EPHEMERAL_CONTAINER: ["true", "agent.ephemeral", true],
    KEY: ["k", "key", "k"],
    FILE_MODE: ["local", "feature.fs.mode", "local"],
    OVERRIDE_ENV_VARS_INCLUDE: ["A;B", "feature.env.include", ["A", "B"]],
    OVERRIDE_ENV_VARS_EXCLUDE: ["A;B", "feature.env.exclude", ["A", "B"]],
    OVERRIDE_ENV_VARS_FILE: [".env", "feature.env.env_file", ".env"],
    SKIP_PROCESSES: ["a;b", "skip_processes", ["a", "b"]],
    REMOTE_DNS: ["false", "feature.network.dns.enabled", false],
    AGENT_TCP_STEAL_TRAFFIC: ["true", "feature.network.incoming.mode", "steal"],
    TCP_OUTGOING: ["0", "feature.network.outgoing.tcp", false],
    UDP_OUTGOING: ["false", "feature.network.outgoing.udp", false],
    ACCEPT_INVALID_CERTIFICATES: ["1", "accept_invalid_certificates", true],
  };
  for (const prefix of ["INPOD", "MIRRORD"])
    for (const [suffix, [text, path, value]] of Object.entries(cases)) {
      const name = `${prefix}_${suffix}`;
      const all = values(t, { env: { [name]: text } });
      assert.deepEqual(all[path], { value, from: `variable ${name}` }, name);
    }
});

test("a key written in short, or in another way, is the file's", (t) => {
  const from = (file: unknown) =>
    Object.entries(values(t, { file })).flatMap(([path, each]) =>
      each.from === "file" ? [path] : [],
    );
  assert.deepEqual(from({ target: { deployment: "a", namespace: "n" } }), [
    "target.path",
    "target.namespace",
  ]);
  assert.deepEqual(from({ target: { namespace: "n" } }), ["target.namespace"]);
  assert.deepEqual(from({ target: "pod/a" }), ["target.path"]);
  assert.deepEqual(from({ agent: { image: { registry: "a", tag: "b" } } }), ["agent.image"]);
  assert.deepEqual(from({ feature: { network: { dns: false } } }), ["feature.network.dns.enabled"]);
  assert.deepEqual(from({ feature: { network: { outgoing: { tcp: false } } } }), [
    "feature.network.outgoing.tcp",
  ]);
});

test("a list that takes the place of the file's other one is not the file's", (t) => {
  const file = { feature: { env: { include: ["A"] } } };
  const all = values(t, { file, flags: { envExclude: ["B"] } });
  assert.deepEqual(all["feature.env.include"], { value: ["*"], from: "default" });
  assert.deepEqual(all["feature.env.exclude"], { value: ["B"], from: "flag" });
});

test("a key that nobody said is made up, and values of variables are not shown", (t) => {
  const all = values(t, {
    file: { feature: { env: { override: { A: "hunter2" }, mapping: { B: "hunter2" } } } },
  });
  assert.deepEqual(all.key, { value: "made-up", from: "made up" });
  assert.deepEqual(all["feature.env.override"]?.value, { A: "<redacted>" });
  assert.deepEqual(all["feature.env.mapping"]?.value, { B: "<redacted>" });
  assert.doesNotMatch(JSON.stringify(all), /hunter2/);
});

test("one's own configuration may be YAML or TOML, and stands where XDG_CONFIG_HOME says", (t) => {
  for (const [name, text] of [
    ["config.yaml", "agent: {image: own/image}"],
    ["config.yml", "agent: {image: own/image}"],
    ["config.toml", 'agent.image = "own/image"'],
  ]) {
    const directory = directoryWith(t, { [`xdg/inpod/${name}`]: text ?? "" });
    const env = { HOME: "/nonexistent", XDG_CONFIG_HOME: join(directory, "xdg") };
    const { config } = loadSources({ flags: {}, env, directory });
    assert.equal(config.agent.image, "own/image");
  }
  assert.equal(loadSources({ flags: {}, env: {}, directory: "/" }).ownPath, undefined);
});

test("what is a project's has no place in one's own configuration, nor the other way round", (t) => {
  const said = problems(() =>
    loadSources(
      sourcesWith(t, {
        own: { target: "pod/a", agent: { namespace: "n" }, kube_contxt: "c" },
        file: { protected_contexts: ["prod"] },
      }),
    ),
  );
  assert.match(said, /^4 problems\n/);
  assert.match(said, /config\.json: "target" belongs into a project's configuration/);
  assert.match(said, /config\.json: "agent\.namespace" belongs into a project's configuration/);
  assert.match(said, /config\.json: unknown key "kube_contxt", did you mean "kube_context"\?/);
  assert.match(said, /inpod\.json: "protected_contexts" belongs into your own configuration/);
});

test("problems of several sources are told together, each with its source", (t) => {
  const said = problems(() =>
    loadSources(
      sourcesWith(t, {
        file: { nope: 1 },
        env: { INPOD_TCP_OUTGOING: "maybe" },
        flags: { envInclude: ["A"], envExclude: ["B"] },
      }),
    ),
  );
  assert.match(said, /^3 problems\n/);
  assert.match(said, /- the environment: variable INPOD_TCP_OUTGOING; allowed/);
  assert.match(said, /- the command line: variables to include or to exclude, not both/);
  assert.match(said, /- \.inpod\/inpod\.json: unknown key "nope"/);
});
