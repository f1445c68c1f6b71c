/** Subnets of IPv4 and IPv6 as numbers: what contains what, and what is left of one without others. Pure. */
import { isIP } from "node:net";

export interface Subnet {
  readonly family: 4 | 6;
  /** The lowest address; bits behind the prefix are 0. */
  readonly base: bigint;
  /** Of the prefix. */
  readonly length: number;
}

const BITS = { 4: 32, 6: 128 } as const;

/** "10.96.0.0/12", "fd00::/64"; an address is the subnet of itself. Undefined: it is none. */
export function parseSubnet(text: string): Subnet | undefined {
  const [, address = "", prefix] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text.trim()) ?? [];
  const family = isIP(address);
  if ((family !== 4 && family !== 6) || address.includes("%")) return undefined;
  const length = prefix === undefined ? BITS[family] : Number(prefix);
  if (length > BITS[family]) return undefined;
  const value = family === 4 ? parseV4(address) : parseV6(address);
  const size = BigInt(BITS[family] - length);
  return { family, base: (value >> size) << size, length };
}

const parseV4 = (text: string): bigint =>
  text.split(".").reduce((value, part) => (value << 8n) | BigInt(part), 0n);

function parseV6(text: string): bigint {
  // RFC 4291, 2.2: the last 32 bits may be written as IPv4.
  const dotted = /(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const v4 = dotted?.[2] === undefined ? undefined : parseV4(dotted[2]);
  const whole =
    v4 === undefined
      ? text
      : `${dotted?.[1]}${(v4 >> 16n).toString(16)}:${(v4 & 0xffffn).toString(16)}`;
  const [head = "", tail] = whole.split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0");
  return [...before, ...(tail === undefined ? [] : zeros), ...after].reduce(
    (value, group) => (value << 16n) | BigInt(`0x${group}`),
    0n,
  );
}

export function formatSubnet({ family, base, length }: Subnet): string {
  const address =
    family === 4
      ? [24n, 16n, 8n, 0n].map((shift) => String((base >> shift) & 0xffn)).join(".")
      : new URL(
          `http://[${Array.from({ length: 8 }, (_, i) =>
            ((base >> BigInt(112 - 16 * i)) & 0xffffn).toString(16),
          ).join(":")}]/`,
        ).hostname.slice(1, -1);
  return length === BITS[family] ? address : `${address}/${length}`;
}

/** Every address of `inner` is one of `outer`. */
export const contains = (outer: Subnet, inner: Subnet): boolean =>
  outer.family === inner.family &&
  outer.length <= inner.length &&
  inner.base >> BigInt(BITS[outer.family] - outer.length) ===
    outer.base >> BigInt(BITS[outer.family] - outer.length);

/** Two subnets are apart, or one is in the other. */
export const overlaps = (one: Subnet, other: Subnet): boolean =>
  contains(one, other) || contains(other, one);

/** What is left of `subnet`, as few subnets as there can be. */
export function without(subnet: Subnet, holes: readonly Subnet[]): Subnet[] {
  const within = holes.filter((hole) => overlaps(subnet, hole));
  if (within.length === 0) return [subnet];
  if (within.some((hole) => contains(hole, subnet))) return [];
  return halves(subnet).flatMap((half) => without(half, within));
}

function halves({ family, base, length }: Subnet): Subnet[] {
  const next = length + 1;
  return [
    { family, base, length: next },
    { family, base: base | (1n << BigInt(BITS[family] - next)), length: next },
  ];
}

/** The same addresses, each once, in as few subnets as there can be, lowest first. */
export function merged(subnets: readonly Subnet[]): Subnet[] {
  const sorted = [...subnets].sort(
    (a, b) => a.family - b.family || compare(a.base, b.base) || a.length - b.length,
  );
  const kept: Subnet[] = [];
  for (const subnet of sorted) {
    if (kept.some((each) => contains(each, subnet))) continue;
    kept.push(subnet);
    for (;;) {
      const [left, right] = kept.slice(-2);
      if (!left || !right || left.family !== right.family || left.length !== right.length) break;
      const both = { ...left, length: left.length - 1 };
      if (left.length === 0 || !contains(normal(both), right)) break;
      kept.splice(-2, 2, normal(both));
    }
  }
  return kept;
}

const compare = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

function normal({ family, base, length }: Subnet): Subnet {
  const size = BigInt(BITS[family] - length);
  return { family, base: (base >> size) << size, length };
}
