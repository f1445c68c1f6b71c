/** A copy of dist/ with what Node alone runs, and what the agent of `process/PID` needs of its machine. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { CLI } from "./exec-support.ts";

const OF_THE_AGENT = /^(agent|inpod-enter$)/;
const OF_NODE = /^cli(-[A-Z0-9]+)?\.js$/;

/** @returns the folder, with its cli.js; the caller removes it */
export function copyOfDist(): string {
  const folder = mkdtempSync(join(tmpdir(), "inpod-dist-"));
  for (const name of readdirSync(dirname(CLI)))
    if (OF_NODE.test(name) || OF_THE_AGENT.test(name))
      cpSync(join(dirname(CLI), name), join(folder, name), { recursive: true });
  return folder;
}

/** The same with the agent of a time when it could not do this, as it says itself in its greeting. */
export function distWithOlderAgent(feature: string): string {
  const folder = copyOfDist();
  const path = join(folder, "agent.js");
  const built = readFileSync(path, "utf8");
  const older = built.replace(`"${feature}",`, "");
  if (older === built) throw new Error(`the agent has no feature ${feature}`);
  writeFileSync(path, older);
  return folder;
}
