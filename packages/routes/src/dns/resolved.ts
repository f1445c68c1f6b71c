/** systemd-resolved: DNS of a link, gone with the link. */
import { execFile } from "node:child_process";
import { realpathSync, statSync } from "node:fs";
import type { Helper } from "../helper.ts";
import type { Subnet } from "../plan/subnets.ts";
import { type ClusterNames, searchOf } from "./decide.ts";
import { notSplit } from "./errors.ts";
import { reverseDomains } from "./reverse.ts";

const WITHIN_MS = 10_000;
/** resolved's stub listener, and the one without its additions. */
const STUBS: ReadonlySet<string> = new Set(["127.0.0.53", "127.0.0.54"]);
/** The name servers that its stub asks. */
export const UPLINKS = "/run/systemd/resolve/resolv.conf";
/** Names the stub. */
export const STUB = "/run/systemd/resolve/stub-resolv.conf";
/** What it was told of links, by their index. It is read again when resolved starts, if it is still there. */
const TOLD = "/run/systemd/resolve/netif";
/** Of 256 that it takes, with the machine's own. */
const MAX_REVERSE = 200;

/**
 * Whether it is what this machine's programs ask. Where /etc/resolv.conf is a file of somebody else's only some do, and
 * resolved itself asks whom that file names.
 */
export const isResolvedAsked = (nameServers: readonly string[]): boolean =>
  nameServers.some((each) => STUBS.has(each));

/**
 * Whether `path` leads past the stub, to its uplinks. No other file may be put in its place: resolved would take its
 * name servers for its own, and not forget them when the link is back (as of 252).
 */
export function isPastStub(path: string): boolean {
  try {
    return realpathSync(path) === UPLINKS;
  } catch {
    return false;
  }
}

export interface ResolvedParts {
  readonly helper: Pick<Helper, "link" | "index" | "inner">;
  readonly names: ClusterNames;
  readonly routes: readonly Subnet[];
  readonly say: (line: string) => void;
  /** How often it is looked whether it still knows. */
  readonly lookMs: number;
}

/** @returns forgets it, and does not fail. @throws UserError DNS_NOT_SPLIT */
export async function splitByResolved(parts: ResolvedParts): Promise<() => Promise<void>> {
  const { link, index } = parts.helper;
  const watching = new AbortController();
  try {
    await tell(parts);
  } catch (error) {
    await resolvectl("revert", link).catch(() => {});
    throw error;
  }
  const told = keepTelling(parts, `${TOLD}/${index}`, watching.signal);
  return async () => {
    watching.abort();
    await told.end();
    await resolvectl("revert", link).catch(() => {}); // it has ended, and with it what it knew
  };
}

async function tell({ helper, names, routes }: ResolvedParts): Promise<void> {
  const { link, inner } = helper;
  // What the machine wants of its own name servers those of a cluster have not: it would refuse all they say.
  const refused: string[] = [];
  for (const what of ["dnssec", "dnsovertls", "llmnr", "mdns"])
    await resolvectl(what, link, "no").catch(() => refused.push(what));
  const domains = [
    ...searchOf(names),
    ...["svc", ...reverseDomains(routes, MAX_REVERSE)].map((each) => `~${each}`),
  ];
  await resolvectl("default-route", link, "false");
  await resolvectl("domain", link, ...domains);
  await resolvectl("dns", link, ...inner);
  // One that was just being started takes it now. One that is built without it never does.
  for (const what of refused) await resolvectl(what, link, "no").catch(() => {});
}

/** One that is started again without its notes, or was told by others to forget the link, is told again. */
function keepTelling(
  parts: ResolvedParts,
  note: string,
  signal: AbortSignal,
): { end(): Promise<void> } {
  let isKnown = true;
  let work: Promise<void> | undefined;
  const again = async (): Promise<void> => {
    if (signal.aborted || (isKnown && isThere(note))) return;
    try {
      await tell(parts);
      isKnown = true;
      parts.say("systemd-resolved had forgotten the cluster's names, and was told again");
    } catch (error) {
      if (isKnown && !signal.aborted)
        parts.say(
          `the cluster's names are not resolved until systemd-resolved is back: ${error instanceof Error ? error.message : error}`,
        );
      isKnown = false; // said once
    }
  };
  // Its notes may be elsewhere, or none: then nothing tells.
  if (!isThere(note)) return { end: async () => {} };
  const looks = (): void => {
    work ??= again().finally(() => {
      work = undefined;
    });
  };
  const timer = setInterval(looks, parts.lookMs);
  timer.unref();
  return {
    end: async () => {
      clearInterval(timer);
      await work;
    },
  };
}

const isThere = (path: string): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;

/** @throws UserError DNS_NOT_SPLIT */
function resolvectl(...words: readonly string[]): Promise<void> {
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
