import assert from "node:assert/strict";
import { test } from "node:test";
import { ALLOWS_ALL, UserError } from "@inpod/protocol";
import { checkPermission, type Wish } from "../src/exec/permission.ts";

const wish = (more: Partial<Wish>): Wish => ({
  steals: true,
  hasFilter: false,
  target: "pod/orders/container/app",
  policy: { ...ALLOWS_ALL, from: [] },
  contextName: "kind-dev",
  protectedContexts: ["prod*", "live"],
  hasSaidYes: false,
  confirm: undefined,
  ...more,
});
async function refusal(more: Partial<Wish>): Promise<string> {
  try {
    await checkPermission(wish(more));
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    const cause = error.cause instanceof Error ? error.cause.message : "";
    return [error.code, error.message, cause].join(" | ");
  }
  return "allowed";
}

test("without stealing nothing is asked and no policy is in the way", async () => {
  const policy = { ...ALLOWS_ALL, steal: "forbidden" as const, from: ["the pod"] };
  assert.equal(await refusal({ steals: false, policy, contextName: "prod" }), "allowed");
});

test("where the owners say no-steal, the refusal says who and what", async () => {
  const from = ["deployment/orders", 'namespace "shop"'];
  assert.equal(
    await refusal({ policy: { ...ALLOWS_ALL, steal: "forbidden", from } }),
    'POLICY_NO_STEAL | the traffic of pod/orders/container/app may not be stolen | inpod.dev/policy of deployment/orders and namespace "shop" says no-steal',
  );
  assert.match(
    await refusal({ policy: { ...ALLOWS_ALL, steal: "filtered", from } }),
    /says steal-with-filter-only$/,
  );
});

test("a filter is enough where the owners want one, and not where they say no-steal", async () => {
  const policy = (steal: "filtered" | "forbidden") => ({ ...ALLOWS_ALL, steal, from: ["the pod"] });
  assert.equal(await refusal({ hasFilter: true, policy: policy("filtered") }), "allowed");
  assert.match(await refusal({ hasFilter: true, policy: policy("forbidden") }), /says no-steal$/);
});

test("a protected context asks, and takes no for an answer", async () => {
  const asked: string[] = [];
  const answer = (yes: boolean) => async (question: string) => {
    asked.push(question);
    return yes;
  };
  assert.equal(await refusal({ contextName: "prod-eu", confirm: answer(true) }), "allowed");
  assert.match(
    await refusal({ contextName: "live", confirm: answer(false) }),
    /^CONTEXT_PROTECTED/,
  );
  assert.equal(asked.length, 2);
  assert.match(asked[0] ?? "", /take the traffic of pod\/orders/);
  assert.equal(await refusal({ contextName: "kind-dev", confirm: answer(false) }), "allowed");
});

test("without a terminal a protected context takes --yes", async () => {
  assert.match(await refusal({ contextName: "live" }), /no terminal to ask on/);
  assert.equal(await refusal({ contextName: "live", hasSaidYes: true }), "allowed");
});
