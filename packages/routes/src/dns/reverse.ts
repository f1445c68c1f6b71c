/** The domains below which addresses of subnets are looked up (RFC 1035, 3.5, and RFC 3596, 2.5). Pure. */
import { formatSubnet, parseSubnet, type Subnet } from "../plan/subnets.ts";

/** Bits of a label, and of an address. */
const LABEL = { 4: 8, 6: 4 } as const;
const BITS = { 4: 32, 6: 128 } as const;

/**
 * Subnets that end within a label need a domain for each of its values. Where most of the labels of a domain are
 * there it stands for them all: of what it has beside them it is not the resolver that is asked, but who asks on.
 * @param most beyond it the smallest subnets are left out
 */
export function reverseDomains(subnets: readonly Subnet[], most: number): string[] {
  const whole = new Map<string, Subnet>();
  const put = (subnet: Subnet): void => void whole.set(formatSubnet(subnet), subnet);
  for (const subnet of subnets) for (const each of inLabels(subnet)) put(each);
  for (const family of [4, 6] as const)
    for (let length = BITS[family]; length > LABEL[family]; length -= LABEL[family]) {
      const below = new Map<string, Subnet[]>();
      for (const each of whole.values())
        if (each.family === family && each.length === length) {
          const key = formatSubnet(cut(each, length - LABEL[family]));
          below.set(key, [...(below.get(key) ?? []), each]);
        }
      for (const [key, members] of below) {
        const parent = parseSubnet(key);
        if (parent === undefined || members.length <= 2 ** (LABEL[family] - 1)) continue;
        for (const member of members) whole.delete(formatSubnet(member));
        put({ ...parent, length: length - LABEL[family] });
      }
    }
  const domains = [...whole.values()].sort(
    (a, b) => BITS[b.family] - b.length - (BITS[a.family] - a.length),
  );
  return domains.slice(0, most).map(domainOf);
}

const cut = ({ family, base }: Subnet, length: number): Subnet => {
  const size = BigInt(BITS[family] - length);
  return { family, base: (base >> size) << size, length };
};

function inLabels({ family, base, length }: Subnet): Subnet[] {
  const end = Math.max(Math.ceil(length / LABEL[family]), 1) * LABEL[family];
  const step = 1n << BigInt(BITS[family] - end);
  return Array.from({ length: 2 ** (end - length) }, (_, at) => ({
    family,
    base: base + BigInt(at) * step,
    length: end,
  }));
}

function domainOf({ family, base, length }: Subnet): string {
  const bits = BigInt(LABEL[family]);
  const labels = Array.from({ length: length / LABEL[family] }, (_, at) =>
    ((base >> (BigInt(BITS[family]) - bits * BigInt(at + 1))) & ((1n << bits) - 1n)).toString(
      family === 4 ? 10 : 16,
    ),
  );
  return [...labels.reverse(), family === 4 ? "in-addr.arpa" : "ip6.arpa"].join(".");
}
