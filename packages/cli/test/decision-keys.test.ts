/** The key that a decision names is one of the configuration's, so that somebody can write it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { compileOutgoing, compilePathRules, decideBind } from "@inpod/layer/rules";
import { VALUES } from "../src/config/effective.ts";

const assertKey = (key: string | undefined, why: string): void =>
  assert.ok(key !== undefined && key.replace(/\[\d+\]$/, "") in VALUES, `${key}: ${why}`);

test("every rule about paths has a key that there is", () => {
  for (const mode of ["local", "localwithoverrides", "read", "write"] as const) {
    const lists = { readWrite: ["a"], readOnly: ["b"], local: ["/c/d"], notFound: ["e"] };
    const rules = compilePathRules(
      { mode, ...lists, fallback: true, dns: true, hostname: true },
      {
        home: "/home/u",
        cwd: "/work/p",
        projectRoot: "/work",
        executable: "/usr/bin/node",
        pathDirectories: ["/usr/bin"],
        toolchains: [{ path: "/go", why: "GOROOT" }],
        tempDirectory: "/tmp",
        runtimeDirectory: "/run/user/1",
        volumeMounts: ["/data"],
      },
    );
    for (const { key, why } of rules) assertKey(key, why);
  }
});

test("decisions about addresses have keys that there are", () => {
  const context = { dns: true, nameservers: ["10.0.0.10"], names: () => [] };
  const filters = [{}, { filter: { local: [":9"] } }, { filter: { remote: [":9"] } }];
  for (const more of [...filters, { tcp: false }, { ignoreLocalhost: true }]) {
    const config = { tcp: true, udp: true, ignoreLocalhost: false, ...more };
    for (const dns of [true, false]) {
      const decide = compileOutgoing(config, { ...context, dns });
      for (const [address, port] of [
        ["10.0.0.10", 53],
        ["10.0.0.9", 9],
        ["10.0.0.8", 80],
        ["127.0.0.1", 80],
      ] as const) {
        const { key, why } = decide({ protocol: "tcp", address, port });
        assertKey(key, why);
      }
    }
  }
  assert.equal(
    compileOutgoing(
      { tcp: true, udp: true, ignoreLocalhost: false },
      context,
    )({
      ...{ protocol: "tcp", address: "fe80::1", port: 80 },
    }).key,
    undefined,
    "no configuration makes a link-local address the pod's",
  );
});

test("decisions about listening ports have keys that there are", () => {
  const config = { mode: "steal", ignorePorts: [1], ignoreLocalhost: true, debuggerPorts: [] };
  const asked = [
    decideBind({ address: "0.0.0.0", port: 80 }, { ...config, mode: "steal" }),
    decideBind({ address: "0.0.0.0", port: 80 }, { ...config, mode: "off" }),
    decideBind({ address: "0.0.0.0", port: 1 }, { ...config, mode: "mirror" }),
    decideBind({ address: "127.0.0.1", port: 80 }, { ...config, mode: "mirror" }),
    decideBind({ address: "::", port: 80 }, { ...config, mode: "mirror", ports: [81] }),
  ];
  assert.equal(new Set(asked.map(({ why }) => why)).size, 5);
  for (const { key, why } of asked) assertKey(key, why);
});
