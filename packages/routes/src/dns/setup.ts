/** Makes this machine ask SplitDns, by its own resolver if it has one, and ends that. */
import { readFileSync, readlinkSync, type StatWatcher, unwatchFile, watchFile } from "node:fs";
import { parseResolvConf } from "@inpod/session";
import type { Helper } from "../helper.ts";
import type { Subnet } from "../plan/subnets.ts";
import { type ClusterNames, searchOf } from "./decide.ts";
import { notSplit } from "./errors.ts";
import { type Content, changeFile, type JournalPlace, restoreFile } from "./journal.ts";
import { splitResolvConf } from "./resolv-conf.ts";
import { isPastStub, isResolvedAsked, STUB, splitByResolved, UPLINKS } from "./resolved.ts";

/** Other programs write it when a network comes or goes. */
const LOOK_MS = 2000;
/** Whether a file of resolved is still there. */
const NOTE_MS = 1000;
/** Whom a dnsmasq that NetworkManager runs asks. */
const NETWORK_MANAGERS = "/run/NetworkManager/no-stub-resolv.conf";

export interface MachineDns {
  /** Who is asked for what is not the cluster's: never who would ask us again. */
  readonly nameServers: readonly string[];
  /** What must stay reachable: those, and whom they are known to ask. */
  readonly neverRouted: readonly string[];
  /** systemd-resolved: programs ask its stub, or could by another link. */
  readonly resolved: "asked" | "past" | "no";
  readonly searchDomains: readonly string[];
  readonly content: string;
}

/** @throws UserError DNS_NOT_SPLIT */
export function readMachineDns({ path }: JournalPlace): MachineDns {
  try {
    const content = readFileSync(path, "latin1");
    const { nameservers, searchDomains } = parseResolvConf(content);
    const isAsked = isResolvedAsked(nameservers);
    const uplinks = isAsked ? readIfThere(UPLINKS) : "";
    return {
      nameServers: isAsked ? parseResolvConf(uplinks).nameservers : nameservers,
      resolved: isAsked ? "asked" : isPastStub(path) ? "past" : "no",
      neverRouted: [content, uplinks, readIfThere(NETWORK_MANAGERS)].flatMap(nameServersIn),
      ...{ searchDomains, content },
    };
  } catch (error) {
    throw notSplit(`${path} cannot be read`, error);
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** All of them: a resolver may know more than the three that programs ask. */
const nameServersIn = (content: string): string[] =>
  [...content.matchAll(/^nameserver[ \t]+(\S+)/gm)].map(([, address = ""]) => address);

export interface SplitSetup {
  /** How, for people. */
  readonly words: string;
  /** Everything is as it was when it resolves. */
  end(): Promise<void>;
}

export interface SetupParts {
  readonly helper: Pick<Helper, "link" | "index" | "inner" | "guard">;
  readonly names: ClusterNames;
  readonly routes: readonly Subnet[];
  readonly machine: MachineDns;
  readonly place: JournalPlace;
  readonly say: (line: string) => void;
  readonly lookMs?: number | undefined;
}

/** @throws UserError DNS_NOT_SPLIT */
export async function setUpDns(parts: SetupParts): Promise<SplitSetup> {
  const { helper, names, machine, place } = parts;
  if (machine.resolved === "no") {
    const [nameServer = ""] = helper.inner;
    const { content, searchDomains } = machine;
    const text = splitResolvConf(content, nameServer, searchOf(names), searchDomains);
    return { words: place.path, end: await change(parts, Buffer.from(text, "latin1")) };
  }
  const isPast = machine.resolved === "past";
  if (isPast && !isResolvedAsked(parseResolvConf(readIfThere(STUB)).nameservers))
    throw notSplit("systemd-resolved has no name server of its own (DNSStubListener=no)");
  const words = `systemd-resolved, on ${helper.link}`;
  const end = await splitByResolved({ ...parts, lookMs: parts.lookMs ?? NOTE_MS });
  if (!isPast) return { words, end };
  try {
    const endFile = await change(parts, { link: STUB });
    return {
      words: `${words}, and ${place.path} is a link to ${STUB}`,
      end: async () => {
        await endFile();
        await end();
      },
    };
  } catch (error) {
    await end();
    throw error;
  }
}

/** @returns restores it, and does not fail. @throws UserError DNS_NOT_SPLIT */
async function change(parts: SetupParts, content: Content): Promise<() => Promise<void>> {
  const { helper, place, say } = parts;
  await changeFile(place, content, () => helper.guard(place.directory, place.path));
  const watching = watch(place.path, content, parts);
  return async () => {
    watching();
    const restored = await restoreFile(place);
    if (restored.kind === "changed")
      say(`${place.path} was written by another program meanwhile, and stays as it is`);
    if (restored.kind === "failed")
      say(
        `${place.path} could not be restored (${restored.why}); what it was is in ${place.directory}: inpod recover`,
      );
  };
}

/** Tells, once each time, that our name server is not asked any more. @returns ends it */
function watch(path: string, content: Content, { say, lookMs }: SetupParts): () => void {
  let isOurs = true;
  const look = (): void => {
    let is = false;
    try {
      is =
        "link" in content
          ? readlinkSync(path) === content.link
          : readFileSync(path).equals(content);
    } catch {
      // It is gone, or is being replaced.
    }
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
