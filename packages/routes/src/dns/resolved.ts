/** systemd-resolved: DNS of a link, gone with the link. */
import { execFile } from "node:child_process";
import { realpathSync } from "node:fs";
import { type ClusterNames, searchOf } from "./decide.ts";
import { notSplit } from "./errors.ts";

const WITHIN_MS = 10_000;
/** resolved's stub listener, and the one without its additions. */
const STUBS: ReadonlySet<string> = new Set(["127.0.0.53", "127.0.0.54"]);

/** Whether it is what this machine's programs ask. */
export function isResolvedUsed(path: string, nameServers: readonly string[]): boolean {
  if (nameServers.some((each) => STUBS.has(each))) return true;
  try {
    return realpathSync(path).startsWith("/run/systemd/resolve/");
  } catch {
    return false;
  }
}

/** @throws UserError DNS_NOT_SPLIT */
export async function splitByResolved(
  link: string,
  inner: readonly string[],
  names: ClusterNames,
): Promise<void> {
  const domains = [...searchOf(names), "~svc"];
  for (const words of [
    ["dns", link, ...inner],
    ["domain", link, ...domains],
    ["default-route", link, "false"],
  ])
    await resolvectl(words);
}

function resolvectl(words: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile("resolvectl", [...words], { timeout: WITHIN_MS }, (error, _, stderr) => {
      if (error === null) resolve();
      else
        reject(
          notSplit(
            `systemd-resolved does not take it (resolvectl ${words.join(" ")})`,
            new Error(stderr.trim() || error.message),
          ),
        );
    });
  });
}
