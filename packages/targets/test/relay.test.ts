import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRelayPlace } from "@inpod/protocol";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import { publishedService } from "../src/kubernetes/services/publish.ts";
import { changedSince, relayFit } from "../src/kubernetes/services/relay-fit.ts";
import {
  isOrigin,
  noteOf,
  relayObjects,
  rememberedNote,
} from "../src/kubernetes/services/relay-objects.ts";

const POD: V1Pod = {
  metadata: { name: "web-1", namespace: "shop", labels: { app: "web" } },
  spec: { containers: [{ name: "app", ports: [{ name: "http", containerPort: 3000 }] }] },
};
const service = (spec: Partial<V1Service["spec"]>): V1Service => ({
  metadata: { name: "web", namespace: "shop" },
  spec: {
    selector: { app: "web" },
    clusterIP: "10.0.0.1",
    ports: [{ port: 80, targetPort: "http" }],
    ...spec,
  },
});
const FACTS = {
  sessionId: "k3x",
  publicKey: "key",
  owner: "ada",
  idleTimeoutMs: 1,
  communicationTimeoutMs: 1,
  startupTimeoutMs: 1,
};
const objectsOf = (of: V1Service, restores = true) => {
  const fit = relayFit(of, POD);
  if (fit.kind !== "fit") throw new Error(fit.why);
  return relayObjects({
    service: of,
    ports: fit.ports,
    agent: { image: "inpod/agent:1" },
    facts: FACTS,
    restores,
    nowMs: 0,
  });
};

test("a Service fits with the ports of its pods, by name and by number", () => {
  assert.deepEqual(
    relayFit(
      service({
        ports: [
          { port: 80, targetPort: "http" },
          { port: 81, targetPort: 9000 },
          { port: 82, targetPort: 9000 },
        ],
      }),
      POD,
    ),
    {
      kind: "fit",
      ports: [
        { podPort: 3000, name: "http" },
        { podPort: 9000, name: undefined },
      ],
    },
  );
});

test("a relay does not take a Service that has other pods or ports than when the relay was made for it", () => {
  const was = service({ selector: { app: "web", tier: "a" } });
  assert.equal(changedSince(was, service({ selector: { tier: "a", app: "web" } })), undefined);
  assert.equal(changedSince(was, service({ selector: { app: "web" } })), "selector");
  assert.equal(changedSince(was, { ...was, spec: { ...was.spec, type: "NodePort" } }), undefined);
  const ports = [{ port: 80, targetPort: "http" }, { port: 81 }];
  assert.equal(changedSince(was, { ...was, spec: { ...was.spec, ports } }), "ports");
});

test("a Service does not fit whose traffic would be lost somewhere", () => {
  const why = (spec: Partial<V1Service["spec"]>): string => {
    const fit = relayFit(service(spec), POD);
    return fit.kind === "unfit" ? fit.why : "it fits";
  };
  assert.match(why({ type: "ExternalName" }), /another name/);
  assert.match(why({ selector: {} }), /no selector/);
  assert.match(why({ clusterIP: "None" }), /headless/);
  assert.match(why({ internalTrafficPolicy: "Local" }), /nodes without the relay/);
  assert.match(why({ externalTrafficPolicy: "Local" }), /nodes without the relay/);
  assert.match(why({ ports: [{ port: 53, protocol: "UDP" }] }), /port 53 is UDP/);
  assert.match(why({ ports: [{ port: 80, targetPort: "web" }] }), /port named "web"/);
  assert.match(why({ ports: [{ port: 61337 }] }), /the agent's own/);
  assert.match(why({ ports: [] }), /no ports/);
});

test("the relay's pod listens on the pods' ports, by the names that the Service has for them", () => {
  const { job, origin } = objectsOf(service({}));
  const [container] = job.spec?.template.spec?.containers ?? [];
  assert.deepEqual(container?.ports, [{ name: "http", containerPort: 3000 }]);
  const command = container?.command ?? [];
  assert.deepEqual(parseRelayPlace(command[command.indexOf("--relay") + 1] ?? ""), {
    namespace: "shop",
    service: "web",
    holder: "k3x",
    origin: "inpod-k3x-origin",
    ports: [3000],
    restores: true,
    selectors: { selector: { app: "web" }, relay: { app: "inpod-k3x" } },
  });
  assert.deepEqual(origin.spec, {
    selector: { app: "web" },
    ports: [{ name: "p3000", port: 3000, targetPort: "http" }],
  });
});

test("the relay's pod has no capability, and passes the level restricted; ports below 1024 by a safe sysctl", () => {
  const spec = objectsOf(service({ ports: [{ port: 80 }] })).job.spec?.template.spec;
  const [container] = spec?.containers ?? [];
  assert.deepEqual(container?.securityContext?.capabilities, { drop: ["ALL"] });
  assert.equal(container?.securityContext?.runAsNonRoot, true);
  assert.deepEqual(spec?.securityContext?.sysctls, [
    { name: "net.ipv4.ip_unprivileged_port_start", value: "0" },
  ]);
  assert.equal(objectsOf(service({})).job.spec?.template.spec?.securityContext, undefined);
});

test("the right that the relay's pod has is for this one Service, and it alone has the token", () => {
  const { role, job, account } = objectsOf(service({}));
  assert.deepEqual(role.rules, [
    { apiGroups: [""], resources: ["services"], resourceNames: ["web"], verbs: ["get", "patch"] },
  ]);
  assert.equal(job.spec?.template.spec?.serviceAccountName, account.metadata?.name);
  assert.equal(job.spec?.template.spec?.automountServiceAccountToken, true);
  const without = objectsOf(service({}), false).job.spec?.template.spec;
  assert.equal(without?.serviceAccountName, undefined);
  assert.equal(without?.automountServiceAccountToken, false);
});

test("the Job waits for what its pod needs, and has its pod made again when its node goes", () => {
  const { spec } = objectsOf(service({})).job;
  assert.equal(spec?.suspend, true);
  assert.equal(spec?.backoffLimit, 3);
});

test("the selector that is written down is the Service's own, also where another relay has it", () => {
  const held = service({ selector: { "inpod.dev/session": "old" } });
  const noted: V1Service = {
    ...held,
    metadata: {
      ...held.metadata,
      annotations: {
        "inpod.dev/held": JSON.stringify({
          holder: "old",
          owner: "bob",
          untilMs: 1,
          selector: { app: "web" },
          relay: { "inpod.dev/session": "old" },
        }),
      },
    },
  };
  const objects = objectsOf(noted);
  assert.deepEqual(noteOf(noted, objects.selector, FACTS, 5), {
    holder: "k3x",
    owner: "ada",
    selector: { app: "web" },
    relay: { app: "inpod-k3x" },
    untilMs: 5,
  });
  assert.deepEqual(objects.origin.spec?.selector, { app: "web" });
});

test("what a note said that is not there any more is known by the relay's other Service", () => {
  const noted = (selector: Record<string, string>) => {
    const { origin, selector: relay } = objectsOf(service({ selector }));
    const taken = service({ selector: relay });
    return { origin, taken, note: rememberedNote(taken, [origin].filter(isOrigin)) };
  };
  const { origin, taken, note } = noted({ app: "web", tier: "front" });
  assert.deepEqual(note, {
    holder: "k3x",
    owner: "ada",
    selector: { app: "web", tier: "front" },
    relay: { app: "inpod-k3x", tier: "inpod-k3x" },
    untilMs: 0,
  });
  assert.deepEqual(noted({ "job-name": "web-1" }).note?.relay, { "inpod.dev/session": "k3x" });
  const elsewhere = { ...taken, metadata: { ...taken.metadata, namespace: "other" } };
  assert.equal(rememberedNote(elsewhere, [origin]), undefined);
  const another = { ...taken, metadata: { ...taken.metadata, name: "web2" } };
  assert.equal(rememberedNote(another, [origin]), undefined);
  assert.equal(rememberedNote(service({}), [origin]), undefined);
  assert.equal(isOrigin(taken), false);
});

test("a Service leads to its relay by its own keys: a manifest that is applied over them leaves nothing of the relay's", () => {
  const selectorOf = (selector: Record<string, string>) => {
    const { selector: leads, job } = objectsOf(service({ selector }));
    const labels = job.spec?.template.metadata?.labels ?? {};
    for (const [key, value] of Object.entries(leads)) assert.equal(labels[key], value, key);
    assert.equal(labels["app.kubernetes.io/managed-by"], "inpod");
    assert.equal(labels["inpod.dev/session"], "k3x");
    return leads;
  };
  assert.deepEqual(selectorOf({ app: "web", tier: "front" }), {
    app: "inpod-k3x",
    tier: "inpod-k3x",
  });
  // Labels that the relay's pod must have otherwise, and those of Jobs, which nobody may choose.
  assert.deepEqual(
    selectorOf({ app: "web", "app.kubernetes.io/managed-by": "Helm", "job-name": "web-1" }),
    { app: "inpod-k3x" },
  );
  assert.deepEqual(selectorOf({ "batch.kubernetes.io/job-name": "web-1" }), {
    "inpod.dev/session": "k3x",
  });
});

test("a published Service leads to the session's own agent, at ports that it may listen on", () => {
  const wish = {
    name: "web-2",
    ports: [{ port: 80, agentPort: 20080 }],
    isExternal: true,
  };
  const { metadata, spec } = publishedService(wish, "shop", FACTS);
  assert.equal(metadata?.name, "web-2");
  assert.deepEqual(spec, {
    type: "LoadBalancer",
    selector: { "inpod.dev/session": "k3x" },
    ports: [{ name: "p80", port: 80, targetPort: 20080 }],
  });
});
