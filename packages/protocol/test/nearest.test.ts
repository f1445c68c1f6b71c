import assert from "node:assert/strict";
import { test } from "node:test";
import { nearest, nearestNames } from "../src/nearest.ts";

test("of a vocabulary the word with the fewest mistakes was meant, or none", () => {
  assert.equal(nearest("stael", ["steal", "mirror", "off"]), "steal");
  assert.equal(nearest("Pods", ["pod", "job"]), "pod");
  assert.equal(nearest("x", ["steal", "mirror"]), undefined);
});

test("names that somebody may have meant come nearest first", () => {
  const known = ["orders-7d4f9c-x2x4k", "payments-5b-aaaaa", "order-db-0"];
  assert.deepEqual(nearestNames("orders", known), ["orders-7d4f9c-x2x4k", "order-db-0"]);
  assert.deepEqual(nearestNames("zzz", known), []);
});
