import assert from "node:assert/strict";
import { test } from "node:test";
import {
  disownPatch,
  HELD_ANNOTATION,
  type HeldNote,
  holdOf,
  leadsToRelay,
  namesRelay,
  ownSelector,
  parseRelayPlace,
  renderRelayPlace,
  renewPatch,
  restorePatch,
  type ServiceLike,
  takePatch,
} from "@inpod/protocol";

/** RFC 7386, as the API server does it. */
function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Record<string, unknown> =
    typeof target === "object" && target !== null ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = merged(result[key], value);
  }
  return result;
}
const patched = (service: ServiceLike, patch: unknown): ServiceLike =>
  merged(service, patch) as ServiceLike;

const SERVICE = {
  metadata: { resourceVersion: "7", annotations: { team: "shop" } },
  spec: { selector: { app: "web", tier: "front" }, type: "ClusterIP" },
};
const NOTE: HeldNote = {
  holder: "k3x",
  owner: "ada",
  selector: { app: "web", tier: "front" },
  relay: { app: "inpod-k3x", tier: "inpod-k3x" },
  untilMs: 1000,
};

test("a Service that is taken has the relay's selector only, and a note of its own one", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  assert.deepEqual(taken.spec?.selector, NOTE.relay);
  assert.deepEqual(holdOf(taken), { kind: "held", note: NOTE });
  assert.equal(leadsToRelay(taken, NOTE), true);
  assert.deepEqual(ownSelector(taken), NOTE.selector);
});

test("every patch is for the version that it was made from", () => {
  for (const make of [takePatch, renewPatch, restorePatch])
    assert.equal(Object(make(SERVICE, NOTE)).metadata.resourceVersion, "7");
});

test("a Service that is given back is as it was, other annotations included", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  assert.deepEqual(patched(taken, restorePatch(taken, NOTE)), SERVICE);
});

test("a selector that somebody else wrote meanwhile stays, and only the note goes", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  const others = patched(taken, { spec: { selector: { app: "other", tier: null } } });
  assert.equal(leadsToRelay(others, NOTE), false);
  assert.equal(namesRelay(others, NOTE), false);
  const given = patched(others, restorePatch(others, NOTE));
  assert.deepEqual(given.spec?.selector, others.spec?.selector);
  assert.equal(given.metadata?.annotations?.[HELD_ANNOTATION], undefined);
});

test("of a selector in which somebody's words stand beside the relay's, the relay's go", () => {
  const otherKey = { ...NOTE, relay: { "inpod.dev/session": "k3x" } };
  const after = (note: HeldNote, selector: Record<string, string | null>) => {
    const taken = patched(SERVICE, takePatch(SERVICE, note));
    const mixed = patched(taken, { spec: { selector } });
    assert.equal(leadsToRelay(mixed, note), false);
    return patched(mixed, restorePatch(mixed, note)).spec?.selector;
  };
  // A manifest that is applied over it by its keys.
  assert.deepEqual(after(NOTE, { ...NOTE.selector }), NOTE.selector);
  assert.deepEqual(after(otherKey, { ...NOTE.selector }), NOTE.selector);
  assert.deepEqual(after(otherKey, { app: "web2" }), { app: "web2", tier: "front" });
  // One key more, one less, one with another value.
  assert.deepEqual(after(NOTE, { version: "2" }), { ...NOTE.selector, version: "2" });
  assert.deepEqual(after(NOTE, { tier: null }), { app: "web" });
  assert.deepEqual(after(NOTE, { app: "web2" }), { app: "web2", tier: "front" });
});

test("a note that somebody takes away or spoils is remembered, as long as something of the selector is the relay's", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  for (const annotation of [null, "?"]) {
    const spoilt = patched(taken, { metadata: { annotations: { [HELD_ANNOTATION]: annotation } } });
    assert.notEqual(holdOf(spoilt).kind, "held");
    assert.deepEqual(holdOf(spoilt, NOTE), { kind: "held", note: NOTE });
    assert.deepEqual(patched(spoilt, restorePatch(spoilt, NOTE)), SERVICE);
  }
  assert.deepEqual(holdOf(SERVICE, NOTE), { kind: "free" });
  const others = { ...NOTE, holder: "z9" };
  assert.deepEqual(holdOf(patched(SERVICE, takePatch(SERVICE, others)), NOTE), {
    kind: "held",
    note: others,
  });
});

test("what the API server has written down as inpod's is nobody's afterwards, and all else stays whose it is", () => {
  const of = (...managers: string[]): ServiceLike => ({
    metadata: { resourceVersion: "7", managedFields: managers.map((manager) => ({ manager })) },
  });
  const after = (service: ServiceLike) =>
    patched(service, disownPatch(service)).metadata?.managedFields;
  assert.deepEqual(after(of("kubectl", "inpod", "helm")), [
    { manager: "kubectl" },
    { manager: "helm" },
  ]);
  assert.deepEqual(after(of("inpod")), [{}]);
  assert.equal(disownPatch(of("kubectl")), undefined);
  assert.equal(disownPatch(SERVICE), undefined);
});

test("a lease goes on without a change of the selector", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  const renewed = patched(taken, renewPatch(taken, { ...NOTE, untilMs: 2000 }));
  assert.deepEqual(renewed.spec, taken.spec);
  assert.deepEqual(holdOf(renewed), { kind: "held", note: { ...NOTE, untilMs: 2000 } });
});

test("a second taker, of a Service whose holder is gone, writes down what the first one had", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  const second = { ...NOTE, holder: "z9", relay: { "inpod.dev/session": "z9" } };
  const again = patched(taken, takePatch(taken, { ...second, selector: ownSelector(taken) ?? {} }));
  assert.deepEqual(again.spec?.selector, second.relay);
  assert.deepEqual(patched(again, restorePatch(again, second)), SERVICE);
});

test("a note that is none of ours is unreadable, and a Service without one is free", () => {
  const noted = (text: string): ServiceLike => ({
    metadata: { annotations: { [HELD_ANNOTATION]: text } },
  });
  assert.deepEqual(holdOf(SERVICE), { kind: "free" });
  for (const text of [
    "",
    "{",
    "null",
    "[]",
    '{"holder":"../x","untilMs":1,"selector":{"a":"b"},"relay":{"c":"d"}}',
    '{"holder":"k3x","untilMs":1,"selector":{},"relay":{"c":"d"}}',
    '{"holder":"k3x","untilMs":1,"selector":{"a":1},"relay":{"c":"d"}}',
    '{"holder":"k3x","selector":{"a":"b"},"relay":{"c":"d"}}',
  ])
    assert.equal(holdOf(noted(text)).kind, "unreadable", text);
});

test("what a relay's agent is told comes back as it was, and nothing else is taken", () => {
  const place = {
    namespace: "shop",
    service: "web",
    holder: "k3x",
    origin: "inpod-k3x-origin",
    ports: [80, 8080],
    restores: true,
    selectors: { selector: { app: "web" }, relay: { app: "inpod-k3x" } },
  };
  assert.deepEqual(parseRelayPlace(renderRelayPlace(place)), place);
  const { selectors, ...without } = place;
  assert.deepEqual(parseRelayPlace(renderRelayPlace(without)), without);
  const half = { ...place, selectors: { ...selectors, relay: { app: 1 } } };
  assert.deepEqual(parseRelayPlace(JSON.stringify(half)), without);
  for (const wrong of [
    { ...place, ports: [0] },
    { ...place, service: "../secrets/x" },
    { ...place, ports: undefined },
  ])
    assert.throws(() => parseRelayPlace(JSON.stringify(wrong)), /a relay's place without/);
});
