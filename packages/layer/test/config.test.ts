import assert from "node:assert/strict";
import { test } from "node:test";
import { endpointText } from "../src/config.ts";

for (const [address, port, text] of [
  ["198.18.0.1", 80, "198.18.0.1:80"],
  ["0.0.0.0", 0, "0.0.0.0:0"],
  ["::1", 8080, "[::1]:8080"],
  ["2001:db8::1", 65535, "[2001:db8::1]:65535"],
  ["::ffff:198.18.0.1", 53, "[::ffff:198.18.0.1]:53"],
] as const) {
  test(`${address} with port ${port} is written ${text}`, () => {
    assert.equal(endpointText({ address, port }), text);
  });
}
