/** The two files by which a program's own resolver becomes the pod's. */
import type { ByteString } from "@inpod/protocol";
import { parseAddress } from "./addresses.ts";

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
      if (parseAddress(address) !== undefined && nameservers.length < MAX_NAMESERVERS) {
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

/**
 * The developer's nsswitch.conf(5) with host names looked up in /etc/hosts and by DNS only: the
 * other sources (resolve, mymachines, mdns, sss) ask daemons of the developer's machine over
 * unix sockets. Users, groups and all else stay as they are, byte for byte.
 */
export function nsswitchWithPodHosts(localNsswitch: ByteString): ByteString {
  const hosts = "hosts: files dns";
  // Every such line is changed: which of two a libc believes is its own affair.
  const changed = localNsswitch.replace(/^[ \t]*hosts[ \t]*:[^\n]*/gm, hosts);
  if (/^hosts: files dns$/m.test(changed)) return changed;
  const isComplete = localNsswitch === "" || localNsswitch.endsWith("\n");
  return `${localNsswitch}${isComplete ? "" : "\n"}${hosts}\n`;
}
