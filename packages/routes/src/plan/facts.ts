/** What addresses and routes the machine has, as `inpod-routes facts` lists them. Pure. */
import { contains, parseSubnet, type Subnet } from "./subnets.ts";

export interface MachineAddress {
  readonly address: string;
  readonly subnet: Subnet;
  readonly link: string;
}
export interface MachineRoute {
  readonly to: Subnet;
  /** "-": none, as of a route that refuses. */
  readonly link: string;
  readonly gateway: string | undefined;
  /** Of another session of inpod. */
  readonly isOurs: boolean;
}
export interface MachineFacts {
  readonly addresses: readonly MachineAddress[];
  readonly routes: readonly MachineRoute[];
}

/** OUR_PROTOCOL of native/routes/netlink.h. */
const OUR_PROTOCOL = "73";

export function parseFacts(text: string): MachineFacts {
  const addresses: MachineAddress[] = [];
  const routes: MachineRoute[] = [];
  for (const line of text.split("\n")) {
    const [kind, cidr = "", link = "-", gateway, protocol] = line.split(" ");
    const subnet = parseSubnet(cidr);
    if (subnet === undefined) continue;
    if (kind === "address") addresses.push({ address: cidr.split("/")[0] ?? "", subnet, link });
    if (kind === "route")
      routes.push({
        to: subnet,
        link,
        gateway: gateway === "-" ? undefined : gateway,
        isOurs: protocol === OUR_PROTOCOL,
      });
  }
  return { addresses, routes };
}

/** A way to everything: a default route, or what VPN programs have in its place (0.0.0.0/1, 2000::/3). */
export const isToEverything = ({ family, length }: Subnet): boolean =>
  length <= (family === 4 ? 1 : 3);

const subnets = (...list: string[]): Subnet[] => list.flatMap((text) => parseSubnet(text) ?? []);

/** Loopback, link-local and multicast: each machine's own, whatever a cluster says. */
export const NEVER_ROUTED: readonly Subnet[] = subnets(
  ...["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3"],
  ...["::/8", "fe80::/10", "ff00::/8"],
);

export const isNeverRouted = (subnet: Subnet): boolean =>
  NEVER_ROUTED.some((each) => contains(each, subnet));
