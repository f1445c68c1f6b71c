import assert from "node:assert/strict";
import { homedir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { load, loadValue, problems } from "./config-support.ts";

const NO_TLS = {
  certificates: [],
  delivery: {
    protocol: "tls",
    trustRoots: undefined,
    serverName: undefined,
    serverCert: undefined,
  },
};

test("without a file everything has mirrord's defaults, mirroring among them", (t) => {
  const config = load(t, {});
  assert.deepEqual(
    { ...config, layer: undefined, agent: undefined },
    {
      acceptInvalidCertificates: false,
      useProxy: true,
      key: "made-up",
      onDisconnect: "stop",
      replicas: 5,
      protectedContexts: [],
      agent: undefined,
      env: { include: ["*"], exclude: [], override: {}, mapping: [], unset: [] },
      localCredentials: [],
      probes: false,
      tls: NO_TLS,
      canary: true,
      ignoredKeys: [],
      layer: undefined,
    },
  );
  assert.deepEqual(config.layer, {
    files: {
      mode: "read",
      readWrite: [],
      readOnly: [],
      local: [],
      notFound: [],
      mapping: [],
      fallback: true,
      autoMount: true,
    },
    outgoing: { tcp: true, udp: true, ignoreLocalhost: false },
    incoming: {
      mode: "mirror",
      ports: undefined,
      ignorePorts: [],
      ignoreLocalhost: false,
      portMapping: new Map(),
      listenPorts: new Map(),
      onConcurrentSteal: "abort",
    },
    dns: true,
    ipv6: true,
    hostname: true,
    skipBuildTools: true,
    skipExtraBuildTools: [],
    skipProcesses: [],
  });
});

test("JSON with comments and trailing commas, YAML and TOML say the same", (t) => {
  for (const files of [
    {
      ".inpod/inpod.json":
        '{ // whose place {{ it }} is\n "target": {"path": "pod/a", "namespace": "shop",}, /* x */ "feature": {"fs": "local"},}',
    },
    {
      ".inpod/inpod.yaml":
        "target: # {{ c }}\n  path: pod/a\n  namespace: shop\nfeature:\n  fs: local\n",
    },
    { ".mirrord/mirrord.yml": "target: {path: pod/a, namespace: shop}\nfeature: {fs: local}\n" },
    {
      ".mirrord/mirrord.toml":
        '[target]\npath = "pod/a"\nnamespace = "shop"\n[feature]\nfs = "local"\n',
    },
  ] as Record<string, string>[]) {
    const { target, namespace, layer } = load(t, files);
    assert.deepEqual([target, namespace, layer.files.mode], ["pod/a", "shop", "local"]);
  }
});

test("inpod's own file comes before mirrord's, and -f before both", (t) => {
  const files = {
    ".inpod/inpod.yaml": "target: pod/own",
    ".mirrord/mirrord.json": '{"target": "pod/mirrord"}',
    "other.toml": 'target = "pod/other"',
  };
  assert.equal(load(t, files).target, "pod/own");
  assert.equal(load(t, files, { flags: { configFile: "other.toml" } }).target, "pod/other");
});

test("a variable overrides a flag, a flag the file, and INPOD_ comes before MIRRORD_", (t) => {
  const file = {
    target: { path: "pod/file", namespace: "file" },
    kube_context: "file",
    kubeconfig: "~/k",
  };
  const config = loadValue(t, file, {
    flags: { namespace: "flag", context: "flag", dns: false },
    env: {
      MIRRORD_KUBE_CONTEXT: "mirrord",
      INPOD_KUBE_CONTEXT: "inpod",
      MIRRORD_TCP_OUTGOING: "false",
      INPOD_FILE_MODE: "",
    },
  });
  assert.equal(config.target, "pod/file");
  assert.equal(config.namespace, "flag");
  assert.equal(config.context, "inpod");
  assert.equal(config.kubeconfig, join(homedir(), "k"));
  assert.equal(config.layer.dns, false);
  assert.deepEqual([config.layer.outgoing.tcp, config.layer.outgoing.udp], [false, true]);
});

test("replicas are five unless the file, the flag or the variable says a number or all", (t) => {
  const file = (replicas: unknown) => ({ feature: { network: { incoming: { replicas } } } });
  assert.equal(loadValue(t, {}).replicas, 5);
  assert.equal(loadValue(t, file(2)).replicas, 2);
  assert.equal(loadValue(t, file("all")).replicas, Number.POSITIVE_INFINITY);
  assert.equal(loadValue(t, file("all"), { flags: { replicas: 3 } }).replicas, 3);
  const env = { INPOD_REPLICAS: "ALL" };
  assert.equal(loadValue(t, file(2), { env }).replicas, Number.POSITIVE_INFINITY);
  for (const wrong of [0, 1001, 1.5, "some", true])
    assert.throws(() => loadValue(t, file(wrong)), /replicas.*a number of pods from 1 to 1000/s);
  assert.throws(
    () => loadValue(t, {}, { env: { INPOD_REPLICAS: "0" } }),
    /INPOD_REPLICAS.*a number of pods from 1 to 1000, or "all"/s,
  );
});

test("a list of variables to exclude takes the place of the file's list to include", (t) => {
  const { env } = loadValue(
    t,
    { feature: { env: { include: "A_*;B" } } },
    { flags: { envExclude: ["C"] } },
  );
  assert.ok(env !== false);
  assert.deepEqual([env.include, env.exclude], [["*"], ["C"]]);
  const said = loadValue(t, { feature: { env: { include: "A_*;B, C" } } }).env;
  assert.ok(said !== false);
  assert.deepEqual(said.include, ["A_*", "B", "C"]);
});

test("every key but the agent's arrives", (t) => {
  const config = loadValue(t, {
    accept_invalid_certificates: true,
    use_proxy: false,
    key: "fix-42",
    on_disconnect: "continue",
    skip_processes: "make;gcc",
    skip_build_tools: false,
    skip_extra_build_tools: ["bazel"],
    feature: {
      local_credentials: ["gcp"],
      env: {
        exclude: ["X*"],
        override: { A: "1" },
        mapping: { "^B": "2" },
        unset: ["C"],
        env_file: ".env",
      },
      fs: {
        mode: "localwithoverrides",
        read_only: ["(?i)^/a"],
        local: ["^/b"],
        not_found: ["^/c"],
        mapping: { "^/d": "/e" },
        fallback: false,
      },
      magic: { auto_mount: false },
      hostname: false,
      network: {
        incoming: {
          mode: "steal",
          ports: [80],
          ignore_ports: [81],
          ignore_localhost: true,
          probes: true,
          canary: false,
          port_mapping: [[3000, 80]],
          on_concurrent_steal: "continue",
        },
        outgoing: {
          tcp: true,
          udp: false,
          ignore_localhost: true,
          filter: {
            remote: [
              "169.254.169.254",
              "tcp://10.0.0.0/8:80",
              "[::1]:80",
              ":443",
              "udp://ns.example",
            ],
          },
        },
        dns: { enabled: false },
      },
    },
  });
  assert.deepEqual(config, {
    acceptInvalidCertificates: true,
    useProxy: false,
    localCredentials: ["gcp"],
    key: "fix-42",
    onDisconnect: "continue",
    replicas: 5,
    protectedContexts: [],
    agent: config.agent,
    env: {
      include: ["*"],
      exclude: ["X*"],
      override: { A: "1" },
      mapping: [["^B", "2"]],
      unset: ["C"],
      envFile: ".env",
    },
    layer: {
      files: {
        mode: "localwithoverrides",
        readWrite: [],
        readOnly: ["(?i)^/a"],
        local: ["^/b"],
        notFound: ["^/c"],
        mapping: [["^/d", "/e"]],
        fallback: false,
        autoMount: false,
      },
      outgoing: {
        tcp: true,
        udp: false,
        ignoreLocalhost: true,
        filter: {
          remote: [
            "169.254.169.254",
            "tcp://10.0.0.0/8:80",
            "[::1]:80",
            ":443",
            "udp://ns.example",
          ],
        },
      },
      incoming: {
        mode: "steal",
        ports: [80],
        ignorePorts: [81],
        ignoreLocalhost: true,
        portMapping: new Map([[3000, 80]]),
        listenPorts: new Map(),
        onConcurrentSteal: "continue",
      },
      dns: false,
      ipv6: true,
      hostname: false,
      skipBuildTools: false,
      skipExtraBuildTools: ["bazel"],
      skipProcesses: ["make", "gcc"],
    },
    probes: true,
    tls: NO_TLS,
    canary: false,
    ignoredKeys: [],
  });
});

test("false in place of an object switches the whole feature off, and null is a key left out", (t) => {
  const off = loadValue(t, { target: null, feature: { env: false, fs: false, network: false } });
  assert.equal(off.env, false);
  assert.equal(off.target, undefined);
  assert.equal(off.layer.files.mode, "local");
  assert.deepEqual(
    [off.layer.outgoing.tcp, off.layer.outgoing.udp, off.layer.dns, off.layer.incoming.mode],
    [false, false, false, "off"],
  );
});

test("mirroring is the default, in each way of writing it; --steal is stronger", (t) => {
  for (const incoming of ["mirror", true, { mode: "mirror" }, { ports: [80] }]) {
    const value = { feature: { network: { incoming } } };
    assert.equal(loadValue(t, value).layer.incoming.mode, "mirror");
    const stealing = loadValue(t, value, { flags: { steal: true } });
    assert.equal(stealing.layer.incoming.mode, "steal");
  }
});

test("keys that inpod has no part of are accepted and listed; so is what a session does anyway", (t) => {
  const { ignoredKeys } = loadValue(t, {
    telemetry: false,
    operator: false,
    internal_proxy: { any: 1 },
    experimental: {},
    sip_binaries: ["x"],
  });
  assert.deepEqual(
    ignoredKeys.map(({ path }) => path),
    ["telemetry", "operator", "internal_proxy", "experimental", "sip_binaries"],
  );
});

test("a session without a key gets one that is a label and its own", (t) => {
  const keys = Array.from({ length: 20 }, () => load(t, {}, { newKey: undefined }).key);
  for (const key of keys) assert.match(key, /^[a-z][a-z2-7]{7}$/);
  assert.equal(new Set(keys).size, keys.length);
  assert.equal(load(t, {}, { flags: { key: "a" }, env: { MIRRORD_KEY: "b" } }).key, "b");
  assert.match(
    problems(() => loadValue(t, { key: "feature/x" })),
    /"key" is a string; allowed: a label's value.*git_branch \| slugify/,
  );
});

test("one text stands for a list of it", (t) => {
  const { layer } = loadValue(t, {
    feature: {
      fs: { read_only: "^/a", local: ["^/b"] },
      network: { outgoing: { filter: { remote: "10.0.0.0/8" } } },
    },
  });
  assert.deepEqual(layer.files.readOnly, ["^/a"]);
  assert.deepEqual(layer.outgoing.filter, { remote: ["10.0.0.0/8"] });
  const said = problems(() =>
    loadValue(t, { feature: { fs: { read_only: "(", local: ["("], not_found: 5 } } }),
  );
  assert.match(
    said,
    /"feature\.fs\.read_only" is a string; allowed: a regular expression that can/,
  );
  assert.match(said, /"feature\.fs\.local\[0\]" is a string; allowed: a regular expression/);
  assert.match(
    said,
    /"feature\.fs\.not_found" is a number; allowed: a list of regular expressions, or one/,
  );
});
