/** The two files by which libc resolves names, read as it does. */
import { isIP } from "node:net";
import type { ByteString } from "@inpod/protocol";

export interface ResolverConfig {
  /** IP literals, in the file's order. */
  readonly nameservers: readonly string[];
  /** Lower case, no final dot. */
  readonly searchDomains: readonly string[];
}

/** Bytes that are read of a resolv.conf; kubelet's limits (2048 of search list) stay far below. */
const MAX_RESOLV_CONF = 64 * 1024;

/** glibc uses three (MAXNS), musl as well; more are kept because other resolvers ask them. */
const MAX_NAMESERVERS = 16;

const MAX_SEARCH_DOMAINS = 64;

/** glibc's and musl's answer to a file without a `nameserver` line (resolv.conf(5)). */
const DEFAULT_NAMESERVER = "127.0.0.1";

/** Reads resolv.conf(5) as libc does: unknown and broken lines are ignored, the last `search` counts. */
export function parseResolvConf(content: ByteString): ResolverConfig {
  const nameservers: string[] = [];
  let searchDomains: string[] = [];
  for (const line of content.slice(0, MAX_RESOLV_CONF).split("\n")) {
    // A keyword starts in the first column; comments with "#" or ";" do too.
    const [keyword, ...values] = line.trimEnd().split(/[ \t]+/);
    if (keyword === "nameserver") {
      const [address = ""] = values;
      if (isIP(address.split("%", 1)[0] ?? "") !== 0 && nameservers.length < MAX_NAMESERVERS) {
        nameservers.push(address);
      }
    } else if (keyword === "search" || keyword === "domain") {
      searchDomains = values
        .slice(0, MAX_SEARCH_DOMAINS)
        .map((domain) => domain.toLowerCase().replace(/\.$/, ""))
        .filter((domain) => domain !== "");
    }
  }
  return {
    nameservers: nameservers.length === 0 ? [DEFAULT_NAMESERVER] : nameservers,
    searchDomains,
  };
}

/** How many dots a name has at least that is asked for as it is first. */
export function ndotsOf(content: ByteString): number {
  const text = content.slice(0, MAX_RESOLV_CONF);
  const found = [...text.matchAll(/^options\b.*?\bndots:(\d{1,2})\b/gm)].at(-1)?.[1];
  return Math.min(Number(found ?? 1), 15);
}

/** Search domains that are tried: glibc 2.26 and newer has no limit, kubelet 32. */
const MAX_SEARCHED = 32;

/** In the order in which resolv.conf(5) has them asked. A name with a final dot is asked for as it is. */
export function candidates(name: string, search: readonly string[], ndots: number): string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const dots = name.split(".").length - 1;
  const below = search.slice(0, MAX_SEARCHED).map((domain) => `${name}.${domain}`);
  return dots >= ndots ? [name, ...below] : [...below, name];
}

/** hosts(5): an address, then names; "#" begins a comment. @param name in lower case, no final dot */
export function addressesInHosts(hosts: ByteString, name: string): string[] {
  const found = hosts.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    const isIt = names.some((each) => each.toLowerCase().replace(/\.$/, "") === name);
    return isIt && isIP(address) !== 0 ? [address] : [];
  });
  return [...new Set(found)];
}
