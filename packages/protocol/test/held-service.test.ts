import assert from "node:assert/strict";
import { test } from "node:test";
import {
  HELD_ANNOTATION,
  type HeldNote,
  holdOf,
  leadsToRelay,
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
  relay: { "inpod.dev/session": "k3x" },
  untilMs: 1000,
};

test("a Service that is taken has the relay's selector only, and a note of its own one", () => {
  const taken = patched(SERVICE, takePatch(SERVICE, NOTE));
  assert.deepEqual(taken.spec?.selector, { "inpod.dev/session": "k3x" });
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
  const others = patched(taken, { spec: { selector: { app: "other" } } });
  assert.equal(leadsToRelay(others, NOTE), false);
  const given = patched(others, restorePatch(others, NOTE));
  assert.deepEqual(given.spec?.selector, others.spec?.selector);
  assert.equal(given.metadata?.annotations?.[HELD_ANNOTATION], undefined);
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
  };
  assert.deepEqual(parseRelayPlace(renderRelayPlace(place)), place);
  for (const wrong of [
    { ...place, ports: [0] },
    { ...place, service: "../secrets/x" },
    { ...place, ports: undefined },
  ])
    assert.throws(() => parseRelayPlace(JSON.stringify(wrong)), /a relay's place without/);
});
