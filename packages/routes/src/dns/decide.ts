/** Whose a name is: the cluster's name servers answer for the cluster's domains, and for nothing else. Pure. */
import { contains, parseSubnet, type Subnet } from "../plan/subnets.ts";

export interface ClusterNames {
  /** "cluster.local" */
  readonly domain: string;
  /** Whose Services have names of one label; undefined: the target is in none. */
  readonly namespace: string | undefined;
}

export type Whose =
  /** As it is. */
  | { readonly kind: "cluster" }
  /** Short for that name. */
  | { readonly kind: "short"; readonly full: string }
  /** The former name servers' answer counts, unless they say that there is no such name. */
  | { readonly kind: "former-then-short"; readonly full: string }
  | { readonly kind: "former" };

const DEFAULT_DOMAIN = "cluster.local";

/** @param search of the target's resolv.conf: "shop.svc.cluster.local", "svc.cluster.local", "cluster.local" */
export function clusterNames(search: readonly string[]): ClusterNames {
  for (const each of search) {
    const [, namespace, domain] = /^([^.]+)\.svc\.(.+)$/.exec(each) ?? [];
    if (namespace !== undefined && domain !== undefined) return { namespace, domain };
  }
  const domain = search.find((each) => each.startsWith("svc."))?.slice(4);
  return { namespace: undefined, domain: domain ?? DEFAULT_DOMAIN };
}

/** What a resolver tries behind a short name, as in a pod of the namespace. */
export const searchOf = ({ domain, namespace }: ClusterNames): string[] => [
  ...(namespace === undefined ? [] : [`${namespace}.svc.${domain}`]),
  `svc.${domain}`,
  domain,
];

/** @param name lower case, no final dot. @param routes the subnets whose addresses are the cluster's */
export function whose(
  name: string,
  { domain, namespace }: ClusterNames,
  routes: readonly Subnet[],
): Whose {
  if (isBelow(name, domain)) return { kind: "cluster" };
  if (name.endsWith(".svc")) return { kind: "short", full: `${name}.${domain}` };
  const address = reversed(name);
  if (address !== undefined)
    return { kind: routes.some((each) => contains(each, address)) ? "cluster" : "former" };
  // One that exists outside stays what it is: a namespace may be called "com".
  const labels = name.split(".").length;
  if (name !== "" && labels === 1 && namespace !== undefined)
    return { kind: "former-then-short", full: `${name}.${namespace}.svc.${domain}` };
  if (labels === 2) return { kind: "former-then-short", full: `${name}.svc.${domain}` };
  return { kind: "former" };
}

const isBelow = (name: string, domain: string): boolean =>
  name === domain || name.endsWith(`.${domain}`);

/** RFC 1035, 3.5, and RFC 3596, 2.5. */
function reversed(name: string): Subnet | undefined {
  const v4 = /^(\d{1,3}(?:\.\d{1,3}){3})\.in-addr\.arpa$/.exec(name)?.[1];
  if (v4 !== undefined) return parseSubnet(v4.split(".").reverse().join("."));
  const nibbles = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  if (nibbles === undefined) return undefined;
  const digits = nibbles.split(".").reverse().join("");
  return parseSubnet((digits.match(/.{4}/g) ?? []).join(":"));
}
