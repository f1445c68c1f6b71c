/**
 * Which connections and datagrams leave from the target's network namespace.
 *
 * Order: addresses that mean this machine's own links ▸ DNS ▸ the protocol's switch ▸
 * ignore_localhost ▸ the filter ▸ remote.
 */
import { ConfigValueError } from "@inpod/session";
import {
  type IpAddress,
  isInSubnet,
  isIpv6LinkLocal,
  isLoopback,
  isMulticastOrBroadcast,
  isSameAddress,
  parseAddress,
  parseSubnet,
  type Subnet,
} from "./addresses.ts";

export interface OutgoingConfig {
  readonly tcp: boolean;
  readonly udp: boolean;
  readonly ignoreLocalhost: boolean;
  /** `remote`: only these are remote. `local`: these are local. Never both. */
  readonly filter?: { readonly remote?: readonly string[]; readonly local?: readonly string[] };
}

export interface OutgoingContext {
  /** feature.network.dns */
  readonly dns: boolean;
  /** Addresses in the pod's resolv.conf. */
  readonly nameservers: readonly string[];
  /** The pod's search list: a filter's `api` is also `api.shop.svc.cluster.local`. */
  readonly searchDomains?: readonly string[];
  /** Names whose answers, to this session's programs, contained the address. Lower case, no final dot. */
  readonly names: (address: string) => readonly string[];
}

export interface Destination {
  readonly protocol: "tcp" | "udp";
  /** An IP literal; IPv4-mapped and zoned forms are understood. */
  readonly address: string;
  readonly port: number;
}

export interface OutgoingDecision {
  readonly verdict: "remote" | "local";
  /** For people. Names entries of the filter, never a name that was looked up. */
  readonly why: string;
  /**
   * The key of the configuration that has decided, with the entry (`feature.network.outgoing.filter.local[0]`); of a default, the key by which
   * it is changed. Undefined: no configuration changes it.
   */
  readonly key: string | undefined;
}

type Host =
  | { readonly kind: "any" }
  | { readonly kind: "address"; readonly address: IpAddress }
  | { readonly kind: "subnet"; readonly subnet: Subnet }
  | { readonly kind: "name"; readonly name: string }
  /** `*.example.org`: every name below, not the name itself. */
  | { readonly kind: "below"; readonly suffix: string };

export interface FilterEntry {
  readonly protocol: "tcp" | "udp" | "any";
  readonly host: Host;
  readonly port: number | null;
  readonly why: string;
}

/** Entries in one list. */
const MAX_ENTRIES = 1024;

export const DNS_PORT = 53;
const DNS_KEY = "feature.network.dns.enabled";

const ALLOWED =
  'allowed: [tcp://|udp://] followed by an address, a subnet (10.0.0.0/8), a name, "*.name" or nothing, and an optional :port ([v6]:port)';

const FILTER_KEY = "feature.network.outgoing.filter";

/** What the rules are made of. @throws ConfigValueError naming the entry and what is allowed */
export function outgoingFilter(
  config: OutgoingConfig,
  context: Pick<OutgoingContext, "nameservers">,
) {
  const { remote, local: kept } = config.filter ?? {};
  if (remote !== undefined && kept !== undefined) {
    throw new ConfigValueError(FILTER_KEY, 'give either "remote" or "local", not both');
  }
  const side: "local" | "remote" = kept === undefined ? "remote" : "local";
  return {
    side,
    entries: parseEntries(kept ?? remote ?? [], `${FILTER_KEY}.${side}`),
    hasFilter: kept !== undefined || remote !== undefined,
    nameservers: context.nameservers.flatMap((text) => parseAddress(text) ?? []),
  };
}

/** destinations.ts makes a table of the same. @throws ConfigValueError naming the entry and what is allowed */
export function compileOutgoing(
  config: OutgoingConfig,
  context: OutgoingContext,
): (destination: Destination) => OutgoingDecision {
  const key = FILTER_KEY;
  const { side, entries, hasFilter, nameservers } = outgoingFilter(config, context);

  return ({ protocol, address: text, port }) => {
    const address = parseAddress(text);
    if (address === undefined) return local("not an IP address");
    if (isIpv6LinkLocal(address)) return local("a link-local address of this machine");
    if (protocol === "udp" && isMulticastOrBroadcast(address)) {
      return local("multicast and broadcast stay on this machine's links");
    }
    const isDns = port === DNS_PORT;
    if (isDns && context.dns && nameservers.some((server) => isSameAddress(server, address))) {
      return { verdict: "remote", why: "a name server of the pod", key: DNS_KEY };
    }
    if (!config[protocol]) {
      const switched = `feature.network.outgoing.${protocol}`;
      return local(`${switched} is off`, switched);
    }
    if (config.ignoreLocalhost && isLoopback(address)) {
      const ignored = "feature.network.outgoing.ignore_localhost";
      return local(ignored, ignored);
    }
    const found = entries.find((entry) =>
      entryMatches(entry, protocol, address, text, port, context),
    );
    if (found !== undefined) return { verdict: side, why: found.why, key: found.why };
    // resolv.conf is the developer's then, and so are the name servers in it.
    if (isDns && !context.dns) return local("feature.network.dns is off", DNS_KEY);
    if (side === "remote" && hasFilter)
      return local(`${key}.remote does not name it`, `${key}.remote`);
    return {
      verdict: "remote",
      why: hasFilter ? `${key}.local does not name it` : "outgoing traffic is the pod's",
      key: `${key}.local`,
    };
  };
}

const local = (why: string, key?: string): OutgoingDecision => ({ verdict: "local", why, key });

function entryMatches(
  entry: FilterEntry,
  protocol: "tcp" | "udp",
  address: IpAddress,
  text: string,
  port: number,
  context: OutgoingContext,
): boolean {
  if (entry.protocol !== "any" && entry.protocol !== protocol) return false;
  if (entry.port !== null && entry.port !== port) return false;
  const { host } = entry;
  switch (host.kind) {
    case "any":
      return true;
    case "address":
      return isSameAddress(host.address, address);
    case "subnet":
      return isInSubnet(address, host.subnet);
    case "below":
      return context.names(text).some((name) => name.endsWith(host.suffix));
    case "name": {
      if (host.name === "localhost" && isLoopback(address)) return true;
      const domains = context.searchDomains ?? [];
      return context
        .names(text)
        .some((name) => name === host.name || domains.some((d) => name === `${host.name}.${d}`));
    }
  }
}

function parseEntries(list: readonly string[], key: string): FilterEntry[] {
  if (list.length > MAX_ENTRIES)
    throw new ConfigValueError(key, `more than ${MAX_ENTRIES} entries`);
  return list.map((text, index) => {
    const why = `${key}[${index}]`;
    const entry = parseEntry(text, why);
    if (entry === undefined) {
      throw new ConfigValueError(why, `${JSON.stringify(text)} is no destination; ${ALLOWED}`);
    }
    return entry;
  });
}

/** Undefined: it is none. */
export function parseEntry(text: string, why: string): FilterEntry | undefined {
  const scheme = /^(tcp|udp):\/\//i.exec(text);
  const protocol = scheme === null ? "any" : scheme[1]?.toLowerCase() === "tcp" ? "tcp" : "udp";
  const rest = text.slice(scheme?.[0].length ?? 0);
  // An IPv6 address without brackets has no port: its last colon would be one.
  const whole = parseHost(rest);
  if (whole !== undefined) return { protocol, host: whole, port: null, why };
  const found = /^(?:\[([^\]]*)\]|([^[\]:]*))(?::(\d{1,5}))?$/.exec(rest);
  if (found === null) return undefined;
  const [, bracketed, plain, digits] = found;
  const port = digits === undefined ? null : Number(digits);
  if (port !== null && (port < 1 || port > 65_535)) return undefined;
  if (bracketed !== undefined) {
    const host = bracketed.includes(":") ? parseHost(bracketed) : undefined;
    return host && { protocol, host, port, why };
  }
  if (plain === "") {
    return port === null ? undefined : { protocol, host: { kind: "any" }, port, why };
  }
  // 10.0.0.0/8:443 and name:443; fd00::/8:443 needs brackets.
  const host = parseHost(plain ?? "");
  return host && { protocol, host, port, why };
}

function parseHost(text: string): Host | undefined {
  const address = text.includes("%") ? undefined : parseAddress(text);
  if (address !== undefined) return { kind: "address", address };
  const subnet = parseSubnet(text);
  if (subnet !== undefined) return { kind: "subnet", subnet };
  const name = text.toLowerCase().replace(/\.$/, "");
  if (name.startsWith("*.")) {
    return isHostName(name.slice(2)) ? { kind: "below", suffix: name.slice(1) } : undefined;
  }
  return isHostName(name) ? { kind: "name", name } : undefined;
}

/** RFC 1123 names, and the underscore that Compose and SRV names have. `10.0.0.256` is a mistyped address. */
function isHostName(name: string): boolean {
  if (name.length > 253 || /(?:^|\.)\d+$/.test(name)) return false;
  return name.split(".").every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/.test(label));
}
