/** Makes this machine ask SplitDns, by its own resolver if it has one, and ends that. */
import { readFileSync, type StatWatcher, unwatchFile, watchFile } from "node:fs";
import { parseResolvConf } from "@inpod/session";
import type { Helper } from "../helper.ts";
import { type ClusterNames, searchOf } from "./decide.ts";
import { notSplit } from "./errors.ts";
import { changeFile, type JournalPlace, restoreFile } from "./journal.ts";
import { splitResolvConf } from "./resolv-conf.ts";
import { isResolvedUsed, splitByResolved } from "./resolved.ts";

/** Other programs write it when a network comes or goes. */
const LOOK_MS = 2000;

export interface MachineDns {
  readonly nameServers: readonly string[];
  readonly searchDomains: readonly string[];
  readonly content: string;
}

/** @throws UserError DNS_NOT_SPLIT */
export function readMachineDns({ path }: JournalPlace): MachineDns {
  try {
    const content = readFileSync(path, "latin1");
    const { nameservers, searchDomains } = parseResolvConf(content);
    return { nameServers: nameservers, searchDomains, content };
  } catch (error) {
    throw notSplit(`${path} cannot be read`, error);
  }
}

export interface SplitSetup {
  /** How, for people. */
  readonly words: string;
  /** Everything is as it was when it resolves. */
  end(): Promise<void>;
}

export interface SetupParts {
  readonly helper: Pick<Helper, "link" | "inner" | "guard">;
  readonly names: ClusterNames;
  readonly machine: MachineDns;
  readonly place: JournalPlace;
  readonly say: (line: string) => void;
  readonly lookMs?: number | undefined;
}

/** @throws UserError DNS_NOT_SPLIT */
export async function setUpDns(parts: SetupParts): Promise<SplitSetup> {
  const { helper, names, machine, place } = parts;
  if (isResolvedUsed(place.path, machine.nameServers)) {
    await splitByResolved(helper.link, helper.inner, names);
    return { words: `systemd-resolved, on ${helper.link}`, end: async () => {} };
  }
  const [nameServer = ""] = helper.inner;
  const content = Buffer.from(
    splitResolvConf(machine.content, nameServer, searchOf(names), machine.searchDomains),
    "latin1",
  );
  await changeFile(place, content, () => helper.guard(place.directory, place.path));
  const watching = watch(place.path, content, parts);
  return {
    words: place.path,
    end: async () => {
      watching();
      const restored = await restoreFile(place);
      if (restored.kind === "changed")
        parts.say(`${place.path} was written by another program meanwhile, and stays as it is`);
      if (restored.kind === "failed")
        parts.say(
          `${place.path} could not be restored (${restored.why}); what it was is in ${place.directory}: inpod recover`,
        );
    },
  };
}

/** Tells, once each time, that our name server is not asked any more. @returns ends it */
function watch(path: string, content: Buffer, { say, lookMs }: SetupParts): () => void {
  let isOurs = true;
  const look = (): void => {
    let now: Buffer | undefined;
    try {
      now = readFileSync(path);
    } catch {
      // It is gone, or is being replaced.
    }
    const is = now?.equals(content) ?? false;
    if (isOurs && !is)
      say(
        `another program has written ${path}: the cluster's names are not resolved any more. It stays as it is; begin anew to have them`,
      );
    isOurs = is;
  };
  const watcher: StatWatcher = watchFile(path, { interval: lookMs ?? LOOK_MS }, look);
  watcher.unref();
  return () => unwatchFile(path, look);
}
