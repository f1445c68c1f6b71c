/** Which subnets are routed into the cluster, and what of them stays the machine's own. Pure. */
import { UserError } from "@inpod/protocol";
import { isNeverRouted, isToEverything, type MachineFacts, NEVER_ROUTED } from "./facts.ts";
import {
  contains,
  formatSubnet,
  merged,
  overlaps,
  parseSubnet,
  type Subnet,
  without,
} from "./subnets.ts";

export interface RoutesWish {
  /** What was found in the cluster, with what it is: "10.244.0.0/16", "pods". */
  readonly found: readonly { readonly cidr: string; readonly what: string }[];
  /** The user's own; where the machine has a wider route there, these win. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Whether this machine has it at all; else nothing of it is routed. */
  readonly hasIPv6: boolean;
  /** Addresses that are never captured, and why: the API server's, name servers. */
  readonly never: readonly { readonly address: string; readonly why: string }[];
}

export interface RoutesPlan {
  readonly routes: readonly string[];
  /** What of the wished subnets is not captured. */
  readonly holes: readonly { readonly subnet: string; readonly why: string }[];
}

const ALL_IPV6: Subnet = { family: 6, base: 0n, length: 0 };

interface Hole {
  readonly subnet: Subnet;
  readonly why: string;
}

/** What the user names. @throws UserError USAGE_INVALID */
export const namedSubnets = ({ include, exclude }: Pick<RoutesWish, "include" | "exclude">) => ({
  include: include.map((text) => given("--include", text)),
  excluded: exclude.map((text) => given("--exclude", text)),
});

/** @throws UserError ROUTES_OVERLAP, ROUTES_NONE, USAGE_INVALID */
export function planRoutes(wish: RoutesWish, facts: MachineFacts): RoutesPlan {
  const { include, excluded } = namedSubnets(wish);
  const found = wish.found.flatMap(({ cidr, what }) => {
    const subnet = parseSubnet(cidr);
    return subnet === undefined ? [] : [{ subnet, what }];
  });
  const own = ownSubnets(facts);
  for (const { subnet, what } of found) {
    const left = without(subnet, [...excluded, ...include]);
    const clash = own.find((each) => left.some((part) => overlaps(part, each.subnet)));
    if (clash !== undefined) throw overlap(subnet, what, clash);
  }
  const holes: Hole[] = [
    ...excluded.map((subnet) => ({ subnet, why: "--exclude" })),
    ...NEVER_ROUTED.map((subnet) => ({ subnet, why: "every machine has its own" })),
    ...(wish.hasIPv6 ? [] : [{ subnet: ALL_IPV6, why: "IPv6 is off on this machine" }]),
    // Of what the user has named the machine's own parts are left out; where its routes are wider, the user's count.
    ...own.filter(({ subnet }) => include.some((each) => contains(each, subnet))),
    ...ownHosts(facts, wish.never),
  ];
  const wished = merged([...include, ...found.map(({ subnet }) => subnet)]);
  const routes = wished.flatMap((subnet) =>
    without(
      subnet,
      holes.map((hole) => hole.subnet),
    ),
  );
  if (routes.length === 0) throw nothingLeft(wished, holes);
  return {
    routes: merged(routes).map(formatCidr),
    holes: told(holes.filter(({ subnet }) => wished.some((each) => overlaps(each, subnet)))),
  };
}

/** Each once, with the first reason: an address has a route, too. */
const told = (holes: readonly Hole[]): RoutesPlan["holes"] => {
  const reasons = new Map<string, string>();
  for (const { subnet, why } of holes) {
    const text = formatSubnet(subnet);
    if (!reasons.has(text)) reasons.set(text, why);
  }
  return [...reasons].map(([subnet, why]) => ({ subnet, why }));
};

const formatCidr = (subnet: Subnet): string => {
  const text = formatSubnet(subnet);
  return text.includes("/") ? text : `${text}/${subnet.length}`;
};

/** Subnets to which the machine has a way of its own. */
function ownSubnets({ routes, addresses }: MachineFacts): Hole[] {
  const ways = routes
    .filter(({ to }) => !isToEverything(to) && !isNeverRouted(to))
    .map(({ to, link, isOurs }) => ({
      subnet: to,
      why: isOurs
        ? `another inpod connect's route (${link})`
        : link === "-"
          ? "a route of this machine"
          : `this machine's route by ${link}`,
    }));
  const links = addresses
    .filter(({ subnet }) => !isNeverRouted(subnet))
    .map(({ subnet, link }) => ({ subnet, why: `this machine's own on ${link}` }));
  return [...ways, ...links];
}

function ownHosts({ addresses, routes }: MachineFacts, never: RoutesWish["never"]): Hole[] {
  const all = [
    ...never,
    ...addresses.map(({ address, link }) => ({ address, why: `this machine's own on ${link}` })),
    ...routes.flatMap(({ gateway, link }) =>
      gateway === undefined ? [] : [{ address: gateway, why: `the gateway on ${link}` }],
    ),
  ];
  return all.flatMap(({ address, why }) => {
    const subnet = parseSubnet(address.split("%")[0] ?? "");
    return subnet === undefined || isNeverRouted(subnet) ? [] : [{ subnet, why }];
  });
}

function given(flag: string, text: string): Subnet {
  const subnet = parseSubnet(text);
  if (subnet !== undefined) return subnet;
  throw new UserError("USAGE_INVALID", `${flag} ${text}: that is no subnet`, {
    hints: [`as CIDR: ${flag} 10.96.0.0/12`],
  });
}

function overlap(subnet: Subnet, what: string, clash: Hole): UserError {
  const cluster = formatCidr(subnet);
  const own = formatCidr(clash.subnet);
  const isWithin = contains(subnet, clash.subnet);
  return new UserError(
    "ROUTES_OVERLAP",
    `${cluster}, the cluster's ${what}, overlaps with ${own}, ${clash.why}`,
    {
      hints: [
        `keep this machine's: --exclude ${isWithin ? own : cluster} (what the cluster has there is not reached then)`,
        ...(isWithin ? [] : [`have the cluster's: --include ${cluster}`]),
        "or change no route: inpod connect --mode proxy",
      ],
    },
  );
}

const nothingLeft = (wished: readonly Subnet[], holes: readonly Hole[]): UserError =>
  new UserError(
    "ROUTES_NONE",
    wished.length === 0
      ? "the cluster's subnets were not found"
      : `nothing is left to be routed of ${wished.map(formatCidr).join(", ")}`,
    {
      ...(wished.length === 0
        ? {}
        : {
            cause: new Error(
              holes
                .filter(({ subnet }) => wished.some((each) => overlaps(each, subnet)))
                .map(({ subnet, why }) => `${formatCidr(subnet)} is left out: ${why}`)
                .join("; "),
            ),
          }),
      hints: ["name them: --include 10.96.0.0/12"],
    },
  );
