import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";

const HEAP = new URL("../src/heap.ts", import.meta.url).href;
const OPTIMISE = new URL("../src/optimise.ts", import.meta.url).href;

test("this Node knows the settings of heap and compilers: an unknown one it would tell on stderr", () => {
  const script = [
    `import { tuneHeapForBulk } from ${JSON.stringify(HEAP)};`,
    `import { optimiseSoon } from ${JSON.stringify(OPTIMISE)};`,
    `tuneHeapForBulk({ mayGrow: true }); optimiseSoon(); console.log("set");`,
  ];
  const argv = ["--import", "tsx", "--input-type=module", "--eval", script.join("\n")];
  const { stdout, stderr } = spawnSync(process.execPath, argv, { encoding: "utf8" });
  assert.deepEqual([stdout, stderr], ["set\n", ""]);
});
