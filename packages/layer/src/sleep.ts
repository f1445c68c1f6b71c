/**
 * Machines that are put to sleep. Linux stops all processes before, and waits for those that cannot be stopped just then; a
 * program that waits for inpod's answer uninterruptibly is one, and inpod, stopped before it, gives none. So a notebook with
 * a server that blocks in accept would stay awake: there, calls stay interruptible.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const text = (path: string): string => {
  try {
    return readFileSync(path, "latin1").trim();
  } catch {
    return ""; // not told here
  }
};

const suppliesOf = (folder: string): string[] => {
  try {
    return readdirSync(folder).map((name) => join(folder, name));
  } catch {
    return []; // no such class
  }
};

/** It can sleep, and has a battery of its own: not that of a mouse. */
export function isPutToSleep(sys = "/sys"): boolean {
  if (!/\b(mem|freeze|standby|disk)\b/.test(text(join(sys, "power/state")))) return false;
  return suppliesOf(join(sys, "class/power_supply")).some(
    (supply) =>
      text(join(supply, "type")) === "Battery" && text(join(supply, "scope")) !== "Device",
  );
}
