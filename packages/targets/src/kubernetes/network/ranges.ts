/** What the cluster's answers say of its subnets. Pure. */
import { isIPv4, isIPv6 } from "node:net";

/** `failed to allocate IP …: the provided IP (…) is not in the valid range. The range of valid IPs is 10.96.0.0/12` */
const RANGE = /range of valid IPs is (\S+)/i;
/** Of a pod's subnet where no node tells it: what a node has as a rule. */
const POD_PREFIX = { 4: 24, 6: 64 } as const;

export function rangesInRefusal(message: string): string[] {
  const [, range = ""] = RANGE.exec(message) ?? [];
  return range.split(",").filter((each) => isCidr(each));
}

export function isCidr(text: string): boolean {
  const [address = "", length = ""] = text.split("/");
  if (!/^\d{1,3}$/.test(length)) return false;
  return (isIPv4(address) && Number(length) <= 32) || (isIPv6(address) && Number(length) <= 128);
}

/** The subnets of some addresses, each once. Addresses that are none are left out. */
export function around(addresses: readonly string[]): string[] {
  const found = addresses.flatMap((address) => {
    if (isIPv4(address)) return [`${address.replace(/\.\d+$/, ".0")}/${POD_PREFIX[4]}`];
    if (!isIPv6(address)) return [];
    const [head = "", tail = ""] = address.split("::");
    const before = head === "" ? [] : head.split(":");
    const zeros = Math.max(0, 8 - before.length - (tail === "" ? 0 : tail.split(":").length));
    const groups = address.includes("::")
      ? [...before, ...Array.from({ length: zeros }, () => "0")]
      : before;
    return [`${groups.slice(0, 4).join(":")}::/${POD_PREFIX[6]}`];
  });
  return [...new Set(found)];
}
