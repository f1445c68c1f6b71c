import assert from "node:assert/strict";
import { test } from "node:test";
import type { Front } from "@inpod/targets";
import { canaryWords, frontWords } from "../src/text/canary.ts";

const front: Extract<Front, { kind: "service" }> = {
  kind: "service",
  name: "service/web",
  address: "10.96.0.7",
  servicePort: 80,
  podPort: 3000,
  endpoints: 1,
  isSticky: false,
  mesh: undefined,
};
const result = { isProved: false, ms: 7, attempts: 3, elsewhere: 0, staysInside: false };

test("what was proved is one line with its time", () => {
  const proved = { ...result, isProved: true };
  assert.equal(
    canaryWords(front, proved, "steal", []),
    "what is sent to port 80 of service/web arrives here (port 3000 of the pod): proved in 7 ms",
  );
  assert.match(canaryWords(front, proved, "mirror", []), /is copied here .*: proved in 7 ms$/);
});

for (const [what, facts, found, policies, said] of [
  ["no endpoint", {}, { errno: "ECONNREFUSED" }, [], /10\.96\.0\.7:80 refuses connections/],
  [
    "a NetworkPolicy",
    {},
    { errno: "ETIMEDOUT" },
    ["deny"],
    /10\.96\.0\.7:80 does not answer the pod.*NetworkPolicies hold the pod: deny$/,
  ],
  ["no way", {}, { errno: "ENETUNREACH" }, [], /cannot be reached from the pod \(ENETUNREACH\)$/],
  [
    "other replicas",
    { endpoints: 4 },
    { elsewhere: 3 },
    [],
    /3 connections were taken by others of the Service's 4 pods$/,
  ],
  [
    "the same replica again and again",
    { endpoints: 4, isSticky: true },
    { elsewhere: 3 },
    [],
    /sessionAffinity/,
  ],
  ["a mesh", { mesh: "istio-proxy" }, { elsewhere: 1 }, [], /1 connection was .*istio-proxy/],
  ["a bypass", {}, { elsewhere: 3 }, [], /the pod's own server.*past the pod's netfilter/],
  ["a translation in the pod", {}, { elsewhere: 2, staysInside: true }, [], /Cilium/],
] as const) {
  test(`what was not proved says why: ${what}`, () => {
    const words = canaryWords({ ...front, ...facts }, { ...result, ...found }, "steal", policies);
    assert.match(words, /^not proved that what is sent to port 80 of service\/web arrives here: /);
    assert.match(words, said);
  });
}

test("a Service that leads elsewhere, or nowhere now", () => {
  assert.equal(
    frontWords({ kind: "other-ports", why: "no Service leads there", mapping: [3000, 8080] }, true),
    "no Service leads there (to stand for it: feature.network.incoming.port_mapping: [[3000, 8080]])",
  );
  const notNow = { kind: "not-now", name: "service/web", why: "pod/a is not ready" } as const;
  const words = "nothing that is sent to service/web arrives here now: pod/a is not ready";
  assert.equal(frontWords({ ...notNow, isUnready: true }, false), words);
  assert.equal(frontWords({ ...notNow, isUnready: false }, true), words);
  assert.equal(
    frontWords({ ...notNow, isUnready: true }, true),
    `${words} (to have your program answer its probes: feature.network.incoming.probes: true)`,
  );
});
