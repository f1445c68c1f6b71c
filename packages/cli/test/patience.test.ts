import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "@inpod/protocol";
import { Patience } from "../src/exec/patience.ts";

const MINUTE_MS = 60_000;
const starting = (why: string): UserError =>
  new UserError("TARGET_NOT_RUNNING", `no pod of deployment/web runs: ${why}`);

test("a workload whose next pod takes long to run is waited for, and each reason is told once", () => {
  const patience = new Patience(0);
  const said: string[] = [];
  let nowMs = 0;
  for (let attempt = 0; nowMs < 29 * MINUTE_MS; attempt++) {
    const next = patience.failed(
      starting(attempt % 2 ? "ErrImagePull" : "ImagePullBackOff"),
      nowMs,
    );
    assert.equal(next.kind, "again", `after ${nowMs} ms`);
    if (next.kind !== "again") break;
    if (next.say !== undefined) said.push(next.say);
    assert.ok(next.pauseMs > 0 && next.pauseMs <= 5000);
    nowMs += next.pauseMs;
  }
  assert.equal(said.length, 3, said.join("\n"));
  assert.match(said[2] ?? "", /waited for, up to 30 minutes in all$/);
  assert.deepEqual(patience.failed(starting("x"), 31 * MINUTE_MS), { kind: "give-up" });
});

test("what fails for another reason has two minutes, also behind a long wait for a pod", () => {
  const patience = new Patience(0);
  const kind = (error: Error, minute: number): string =>
    patience.failed(error, minute * MINUTE_MS).kind;
  const unreachable = new UserError("API_UNREACHABLE", "the API server does not answer");
  assert.equal(kind(starting("ContainerCreating"), 0), "again");
  assert.equal(kind(starting("ContainerCreating"), 10), "again");
  assert.equal(kind(unreachable, 10.1), "again");
  assert.equal(kind(unreachable, 11.9), "again");
  assert.equal(kind(starting("ContainerCreating"), 12), "again");
  assert.equal(kind(unreachable, 13.9), "again");
  assert.equal(kind(unreachable, 14.1), "give-up");
});

test("a workload that is scaled to zero has two minutes to be scaled up again", () => {
  const patience = new Patience(0);
  const zero = new UserError("TARGET_SCALED_TO_ZERO", "deployment/web is scaled to zero");
  assert.equal(patience.failed(zero, 0).kind, "again");
  assert.equal(patience.failed(zero, 1.9 * MINUTE_MS).kind, "again");
  assert.equal(patience.failed(zero, 2.1 * MINUTE_MS).kind, "give-up");
});

test("what another attempt does not change is not tried again", () => {
  for (const code of ["TARGET_GONE", "TARGET_NOT_FOUND", "FORBIDDEN", "NAMESPACE_NOT_FOUND"])
    assert.equal(new Patience(0).failed(new UserError(code, "no"), 1).kind, "give-up", code);
});
