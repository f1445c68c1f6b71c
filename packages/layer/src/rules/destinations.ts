/**
 * The rules for outgoing TCP as a table for the tap's C, so that a connect that stays on this machine asks nobody. What only
 * compileOutgoing() can tell, by names, is asked.
 */
import type { TapDestination } from "@inpod/tap";
import type { IpAddress } from "./addresses.ts";
import {
  DNS_PORT,
  type FilterEntry,
  type OutgoingConfig,
  type OutgoingContext,
  outgoingFilter,
} from "./outgoing.ts";

const LINK_LOCAL: TapDestination = {
  bytes: [0xfe, 0x80],
  prefixLength: 10,
  isIPv6: true,
  isLocal: true,
};

/** As `isLoopback`. */
const LOOPBACK: readonly TapDestination[] = [
  { bytes: [127], prefixLength: 8, isIPv6: false, isLocal: true },
  { bytes: [0, 0, 0, 0], prefixLength: 32, isIPv6: false, isLocal: true },
  { bytes: [...new Array<number>(15).fill(0), 1], prefixLength: 128, isIPv6: true, isLocal: true },
  { bytes: new Array<number>(16).fill(0), prefixLength: 128, isIPv6: true, isLocal: true },
];

/** In compileOutgoing()'s order. @throws ConfigValueError */
export function compileDestinations(
  config: OutgoingConfig,
  context: Pick<OutgoingContext, "dns" | "nameservers">,
): readonly TapDestination[] {
  const { side, entries, hasFilter, nameservers } = outgoingFilter(config, context);
  const isKept = side === "local";
  const dns = context.dns
    ? nameservers.map((address) => ({ ...single(address), port: DNS_PORT, isLocal: false }))
    : [];
  if (!config.tcp) return [LINK_LOCAL, ...dns, { isLocal: true }];
  return [
    LINK_LOCAL,
    ...dns,
    ...(config.ignoreLocalhost ? LOOPBACK : []),
    ...entries.filter(({ protocol }) => protocol !== "udp").map((entry) => ofEntry(entry, isKept)),
    ...(context.dns ? [] : [{ port: DNS_PORT, isLocal: true }]),
    { isLocal: hasFilter && !isKept },
  ];
}

const single = ({ family, bytes }: IpAddress) => ({
  bytes,
  prefixLength: bytes.length * 8,
  isIPv6: family === 6,
});

function ofEntry({ host, port }: FilterEntry, isKept: boolean): TapDestination {
  const on = port === null ? {} : { port };
  switch (host.kind) {
    case "any":
      return { ...on, isLocal: isKept };
    case "address":
      return { ...single(host.address), ...on, isLocal: isKept };
    case "subnet": {
      const { address, prefixLength } = host.subnet;
      return { ...single(address), prefixLength, ...on, isLocal: isKept };
    }
    case "name":
    case "below":
      return { ...on, isLocal: false };
  }
}
