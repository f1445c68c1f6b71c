import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { isPutToSleep } from "../src/sleep.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-sleep-"));
after(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function sys(files: Readonly<Record<string, string>>): string {
  const root = join(folder, String(count++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}

const STATES = { "power/state": "freeze mem disk\n" };
const MAINS = { "class/power_supply/AC/type": "Mains\n" };
const BATTERY = { "class/power_supply/BAT0/type": "Battery\n" };
const MOUSE = {
  "class/power_supply/hidpp_battery_0/type": "Battery\n",
  "class/power_supply/hidpp_battery_0/scope": "Device\n",
};

for (const [what, files, expected] of [
  ["a notebook", { ...STATES, ...MAINS, ...BATTERY }, true],
  ["a desktop with a wireless mouse", { ...STATES, ...MAINS, ...MOUSE }, false],
  [
    "a virtual machine that is shown its host's battery",
    { "power/state": "\n", ...BATTERY },
    false,
  ],
  ["a server", STATES, false],
  ["a container without /sys", {}, false],
] as const) {
  test(`${what} ${expected ? "is" : "is not"} put to sleep`, () => {
    assert.equal(isPutToSleep(sys(files)), expected);
  });
}
