/** Which names are found as the pod finds them, and which as this machine does: feature.network.dns.filter. */
import { ConfigValueError } from "@inpod/session";
import { isInSubnet, isSameAddress, parseAddress } from "./addresses.ts";
import { type FilterEntry, parseEntry } from "./outgoing.ts";

export interface DnsFilter {
  /** `remote`: only these are the pod's. `local`: these are this machine's. Never both. */
  readonly remote?: readonly string[];
  readonly local?: readonly string[];
}

export interface DnsDecision {
  /** "not-found": only a resolver that appends the pod's search domains asks for it; it asks for the name alone next. */
  readonly verdict: "remote" | "local" | "not-found";
  readonly why: string;
  readonly key: string;
}

const KEY = "feature.network.dns.filter";
const MAX_ENTRIES = 1024;
const ALLOWED = 'allowed: a name, "*.name", or an address or subnet, for which names are asked';

/** @returns undefined: no filter. @throws ConfigValueError naming the entry and what is allowed */
export function compileDnsFilter(
  filter: DnsFilter | undefined,
  searchDomains: readonly string[],
): ((name: string) => DnsDecision) | undefined {
  if (filter === undefined) return undefined;
  const side = filter.local === undefined ? "remote" : "local";
  const other = side === "local" ? "remote" : "local";
  const entries = parse(filter[side] ?? [], `${KEY}.${side}`);
  const find = (name: string): FilterEntry | undefined =>
    entries.find((entry) => matches(entry, name));
  return (name) => {
    const bare = searchDomains
      .filter((domain) => name.endsWith(`.${domain}`))
      .map((domain) => name.slice(0, -domain.length - 1));
    const found = find(name) ?? bare.map(find).find((entry) => entry !== undefined);
    const verdict = found === undefined ? other : side;
    const key = found?.why ?? `${KEY}.${side}`;
    const why = found?.why ?? `${key} does not name it`;
    return { verdict: verdict === "local" && bare.length > 0 ? "not-found" : verdict, why, key };
  };
}

function parse(list: readonly string[], key: string): FilterEntry[] {
  if (list.length > MAX_ENTRIES)
    throw new ConfigValueError(key, `more than ${MAX_ENTRIES} entries`);
  return list.map((text, index) => {
    const why = `${key}[${index}]`;
    const entry = parseEntry(text, why);
    if (entry === undefined || entry.protocol !== "any")
      throw new ConfigValueError(why, `${JSON.stringify(text)} is no name; ${ALLOWED}`);
    // Elsewhere than on the wire a port can go with a name; whoever asks for an address does not say for which.
    if (entry.host.kind === "any")
      throw new ConfigValueError(
        why,
        `${JSON.stringify(text)}: who asks for a name does not say for which port; ${ALLOWED}`,
      );
    return entry;
  });
}

function matches({ host }: FilterEntry, name: string): boolean {
  switch (host.kind) {
    case "name":
      return name === host.name;
    case "below":
      return name.endsWith(host.suffix);
    case "any":
      return false;
    default: {
      const address = parseAddress(addressAsked(name) ?? "");
      if (address === undefined) return false;
      return host.kind === "address"
        ? isSameAddress(host.address, address)
        : isInSubnet(address, host.subnet);
    }
  }
}

/** RFC 1035, section 3.5, and RFC 3596, section 2.5: for which address a name is asked. */
function addressAsked(name: string): string | undefined {
  const v4 = /^((?:\d{1,3}\.){4})in-addr\.arpa$/.exec(name);
  if (v4?.[1] !== undefined) return v4[1].split(".").slice(0, 4).reverse().join(".");
  const v6 = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name);
  return v6?.[1]?.split(".").slice(0, 32).reverse().join("").match(/.{4}/g)?.join(":");
}
