/** What is left on this machine of sessions that were killed together with the process that holds their routes. */
import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { holder, JOURNAL, type JournalPlace, restoreFile } from "./dns/journal.ts";
import { runHelper } from "./helper.ts";

export interface LeftOnMachine {
  readonly what: string;
  readonly verdict: "held" | "left";
  readonly why: string;
}

const HELPER_NAME = "inpod-routes"; // 12 of the 15 characters that the kernel keeps

/** Reads only. */
export function leftOnMachine(place: JournalPlace = JOURNAL): LeftOnMachine[] {
  const who = holder(place);
  const isRunning = helperRuns();
  return [
    ...(who.kind === "nobody"
      ? []
      : [
          who.kind === "held"
            ? {
                what: place.path,
                verdict: "held" as const,
                why: `of inpod connect, process ${who.pid}`,
              }
            : {
                what: place.path,
                verdict: "left" as const,
                why: `a session that was killed has changed it; what it was is in ${place.directory}: inpod recover`,
              },
        ]),
    ...ourLinks().map((name) => ({
      what: `link ${name}`,
      verdict: isRunning ? ("held" as const) : ("left" as const),
      why: isRunning ? "of a session that runs" : "its session was killed: inpod recover",
    })),
  ];
}

/** Of the network namespace that we are in: /sys shows that of whoever mounted it. */
const ourLinks = (): string[] =>
  Object.keys(networkInterfaces()).filter((name) => /^inpod\d+$/.test(name));

function helperRuns(): boolean {
  return readdirSync("/proc").some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/comm`, "latin1").trim() === HELPER_NAME;
    } catch {
      return false; // it has ended
    }
  });
}

/**
 * Puts back what sessions that were killed have left; of those that run nothing is touched.
 * @returns lines for people, of what was done or could not be
 */
export async function recoverMachine(place: JournalPlace = JOURNAL): Promise<string[]> {
  const lines: string[] = [];
  if (holder(place).kind === "left") {
    const restored = await restoreFile(place);
    if (restored.kind === "restored") lines.push(`${place.path} is again what it was`);
    if (restored.kind === "changed")
      lines.push(`${place.path} was written by another program since, and stays as it is`);
    if (restored.kind === "failed")
      lines.push(`${place.path} could not be restored: ${restored.why}`);
  }
  for (const { what, verdict } of leftOnMachine(place)) {
    const name = /^link (.*)$/.exec(what)?.[1];
    if (name === undefined || verdict !== "left") continue;
    const { isDone, text } = await runHelper(["remove", name]);
    lines.push(isDone ? `${what} is gone, and its routes` : `${what} is still there: ${text}`);
  }
  return lines;
}
