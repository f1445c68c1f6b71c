/** The keys below `agent`: what arrives, what is refused, and by which words. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { loadValue, problems } from "./config-support.ts";

/** The defaults: what inpod does when nothing is said about the agent. */
const DEFAULTS = {
  imagePullSecrets: [],
  ephemeral: false,
  allowHostNetwork: false,
  relayPod: { mode: "auto", isUnattended: false },
  privileged: false,
  disabledCapabilities: [],
  nodeSelector: {},
  labels: {},
  annotations: {},
  resources: { requests: {}, limits: {} },
  securityContext: {},
  startupTimeoutMs: 60_000,
  communicationTimeoutMs: 30_000,
  idleTimeoutMs: 30_000,
  resumeTimeoutMs: 60_000,
  ttlS: 1,
  logLevel: "info",
  jsonLog: false,
  checkOutOfPods: true,
  flushConnections: true,
  injectHeaders: false,
  disableMeshSidecarInjection: true,
  startupRetry: { minMs: 500, maxMs: 5000, maxRetries: 2 },
};

const agent = (t: TestContext, value: unknown) => loadValue(t, { agent: value }).agent;

test("an agent of which nothing is said has the documented defaults", (t) => {
  assert.deepEqual(agent(t, {}), DEFAULTS);
});

test("every key of the agent arrives as a typed value", (t) => {
  const { agent: config } = loadValue(t, {
    startup_retry: { min_ms: 100, max_ms: 200, max_retries: 0 },
    agent: {
      image: { registry: "registry.example/agent", tag: "1" },
      image_pull_policy: "Never",
      image_pull_secrets: [{ name: "registry" }, "other.registry"],
      namespace: "agents",
      ephemeral: true,
      allow_host_network: true,
      relay_pod: { mode: "never", unattended: true },
      privileged: true,
      disabled_capabilities: ["SYS_ADMIN", "NET_RAW"],
      tolerations: [
        { operator: "Exists" },
        { key: "example.com/gpu", operator: "Equal", value: "yes", effect: "NoSchedule" },
        { key: "spot", effect: "NoExecute", tolerationSeconds: 60 },
      ],
      node_selector: { "kubernetes.io/hostname": "node-1" },
      resources: {
        requests: { cpu: "10m", memory: "64Mi" },
        limits: { cpu: 0.5, memory: 134217728, "ephemeral-storage": "1e6" },
      },
      labels: { "example.com/team": "shop", empty: "" },
      annotations: { "example.com/note": "free {text}\nof any kind" },
      service_account: "inpod.agent",
      priority_class: "system-node-critical",
      security_context: {
        seccomp_profile: { type: "Localhost", localhostProfile: "profiles/agent.json" },
        app_armor_profile: { type: "Unconfined" },
      },
      startup_timeout: 5,
      communication_timeout: 6,
      idle_timeout: 7,
      resume_timeout: 8,
      ttl: 0,
      log_level: "warn,mirrord=debug",
      json_log: true,
      metrics: "0.0.0.0:9000",
      check_out_of_pods: false,
      flush_connections: false,
      inject_headers: true,
      disable_mesh_sidecar_injection: false,
    },
  });
  assert.deepEqual(config, {
    image: "registry.example/agent:1",
    imagePullPolicy: "Never",
    imagePullSecrets: ["registry", "other.registry"],
    namespace: "agents",
    ephemeral: true,
    allowHostNetwork: true,
    relayPod: { mode: "never", isUnattended: true },
    privileged: true,
    disabledCapabilities: ["SYS_ADMIN", "NET_RAW"],
    tolerations: [
      { operator: "Exists" },
      { key: "example.com/gpu", operator: "Equal", value: "yes", effect: "NoSchedule" },
      { key: "spot", effect: "NoExecute", tolerationSeconds: 60 },
    ],
    nodeSelector: { "kubernetes.io/hostname": "node-1" },
    resources: {
      requests: { cpu: "10m", memory: "64Mi" },
      limits: { cpu: "0.5", memory: "134217728", "ephemeral-storage": "1e6" },
    },
    labels: { "example.com/team": "shop", empty: "" },
    annotations: { "example.com/note": "free {text}\nof any kind" },
    serviceAccount: "inpod.agent",
    priorityClass: "system-node-critical",
    securityContext: {
      seccompProfile: { type: "Localhost", localhostProfile: "profiles/agent.json" },
      appArmorProfile: { type: "Unconfined" },
    },
    startupTimeoutMs: 5000,
    communicationTimeoutMs: 6000,
    idleTimeoutMs: 7000,
    resumeTimeoutMs: 8000,
    ttlS: 0,
    logLevel: "debug",
    jsonLog: true,
    metrics: "0.0.0.0:9000",
    checkOutOfPods: false,
    flushConnections: false,
    injectHeaders: true,
    disableMeshSidecarInjection: false,
    startupRetry: { minMs: 100, maxMs: 200, maxRetries: 0 },
  });
});

test("no tolerations at all is something else than none said", (t) => {
  assert.equal(agent(t, {}).tolerations, undefined);
  assert.deepEqual(agent(t, { tolerations: [] }).tolerations, []);
});

test("one limit of the waits between attempts does not contradict the other's default", (t) => {
  const retry = (startup_retry: unknown) => loadValue(t, { startup_retry }).agent.startupRetry;
  assert.deepEqual(retry({ max_ms: 50 }), { minMs: 50, maxMs: 50, maxRetries: 2 });
  assert.deepEqual(retry({ min_ms: 9000 }), { minMs: 9000, maxMs: 9000, maxRetries: 2 });
});

test("variables stand above the file, and are judged like it", (t) => {
  const file = { agent: { namespace: "file", ttl: 5, log_level: "info", ephemeral: false } };
  const { agent: config } = loadValue(t, file, {
    env: {
      MIRRORD_AGENT_NAMESPACE: "variable",
      INPOD_AGENT_TTL: "0",
      MIRRORD_AGENT_RUST_LOG: "trace",
      MIRRORD_EPHEMERAL_CONTAINER: "true",
    },
  });
  assert.deepEqual(
    [config.namespace, config.ttlS, config.logLevel, config.ephemeral],
    ["variable", 0, "trace", true],
  );
  const said = problems(() =>
    loadValue(t, file, {
      env: {
        INPOD_AGENT_NAMESPACE: "No_Name",
        INPOD_AGENT_RUST_LOG: "loud",
        INPOD_AGENT_TTL: "-1",
      },
    }),
  );
  assert.match(said, /INPOD_AGENT_NAMESPACE; allowed: a name of up to 63/);
  assert.match(said, /INPOD_AGENT_RUST_LOG; allowed: "off", "error"/);
  assert.match(said, /INPOD_AGENT_TTL; allowed: a whole number of seconds from 0/);
});

const LONG = "x".repeat(64);
const WRONG: readonly (readonly [agent: unknown, ...said: RegExp[]])[] = [
  [{ namespace: "Upper" }, /"agent\.namespace" is a string; allowed: a name of up to 63/],
  [{ namespace: LONG }, /"agent\.namespace"/],
  [{ service_account: "a..b" }, /"agent\.service_account" is a string; allowed: a name/],
  [{ priority_class: "" }, /"agent\.priority_class" is an empty string; allowed: a name/],
  [{ labels: { "-a": "x" } }, /"agent\.labels\.-a" has a wrong key; allowed: a name/],
  [{ labels: { "Example.com/a": "x" } }, /"agent\.labels\.Example\.com\/a" has a wrong key/],
  [{ labels: { a: "b c" } }, /"agent\.labels\.a" is a string; allowed: a label's value/],
  [{ labels: { a: LONG } }, /"agent\.labels\.a" is a string; allowed: a label's value/],
  [{ labels: { a: 1 } }, /"agent\.labels\.a" is a number; allowed: a label's value/],
  [{ labels: ["a"] }, /"agent\.labels" is a list; allowed: an object of labels/],
  [{ annotations: { a: true } }, /"agent\.annotations\.a" is a boolean; allowed: a string/],
  [{ annotations: { a: "x".repeat(300_000) } }, /"agent\.annotations" .*262144 bytes/],
  [{ node_selector: { "a/b/c": "x" } }, /"agent\.node_selector\.a\/b\/c" has a wrong key/],
  [
    { tolerations: [{ operator: "Exists" }, { value: "x" }] },
    /"agent\.tolerations\[1\]" is an object; allowed: a toleration with a key/,
  ],
  [
    { tolerations: [{ key: "a", operator: "Exists", value: "b" }] },
    /"agent\.tolerations\[0\]" .* without a value/,
  ],
  [
    { tolerations: [{ key: "a", tolerationSeconds: 5 }] },
    /"agent\.tolerations\[0\]" .* only where the effect is "NoExecute"/,
  ],
  [
    { tolerations: [{ key: "a", effect: "NoShedule" }] },
    /tolerations\[0\]\.effect" is a string; .*did you mean "NoSchedule"\?/,
  ],
  [
    { tolerations: [{ key: "a", toleration_seconds: 5 }] },
    /unknown key "agent\.tolerations\[0\]\.toleration_seconds", did you mean "tolerationSeconds"\?/,
  ],
  [{ tolerations: { key: "a" } }, /"agent\.tolerations" is an object; allowed: a list/],
  ...["1 Mi", "-1", "1MiB", "", "one", "1e", "0x10"].map(
    (memory) =>
      [
        { resources: { limits: { memory } } },
        /"agent\.resources\.limits\.memory" is (a|an empty) string; allowed: a quantity/,
      ] as const,
  ),
  [{ resources: { limits: { memory: -1 } } }, /limits\.memory" is a number; allowed: a quantity/],
  [{ resources: { cpu: "1" } }, /unknown key "agent\.resources\.cpu" .*requests, limits/],
  [{ disabled_capabilities: ["CHOWN"] }, /disabled_capabilities\[0\]" .*"NET_ADMIN"/],
  [{ image_pull_policy: "always" }, /"Always".*did you mean "Always"\?/],
  [{ image: "two words" }, /"agent\.image" is a string; allowed: a string without blanks/],
  [{ image_pull_secrets: [{ secret: "x" }] }, /image_pull_secrets\[0\]" .*the name of a Secret/],
  [
    { security_context: { seccomp_profile: { type: "Localhost" } } },
    /"agent\.security_context\.seccomp_profile" is an object; allowed: .*localhostProfile/,
  ],
  [
    { security_context: { app_armor_profile: { type: "Unconfined", localhostProfile: "x" } } },
    /"agent\.security_context\.app_armor_profile" .*only there/,
  ],
  [{ log_level: "verbose" }, /"agent\.log_level" is a string; allowed: "off", .*"trace"/],
  [{ metrics: "9000" }, /"agent\.metrics" is a string; allowed: an address and a port/],
  [{ metrics: "0.0.0.0:99999" }, /"agent\.metrics"/],
  [{ ttl: -1 }, /"agent\.ttl" is a number; allowed: a whole number of seconds from 0/],
  [{ idle_timeout: 0 }, /"agent\.idle_timeout" .*at least 1 second/],
];
for (const [value, ...said] of WRONG)
  test(`agent ${JSON.stringify(value).slice(0, 90)} is refused by its path`, (t) => {
    const text = problems(() => agent(t, value));
    for (const line of said) assert.match(text, line);
  });

test("a retry that waits less at most than at least is refused", (t) => {
  assert.match(
    problems(() => loadValue(t, { startup_retry: { min_ms: 2, max_ms: 1 } })),
    /"startup_retry" is an object; allowed: min_ms that is not above max_ms/,
  );
});
