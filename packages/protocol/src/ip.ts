/**
 * @param literal an IP address, as `isIP` of node:net knows it; a zone (`fe80::1%eth0`) is dropped
 * @returns 4 or 16 bytes in network order
 */
export function ipBytes(literal: string): number[] {
  const [address = ""] = literal.split("%", 1);
  if (!address.includes(":")) return address.split(".").map(Number);
  const [head = "", tail] = address.split("::");
  const start = bytesOf(head);
  if (tail === undefined) return start;
  const end = bytesOf(tail);
  return [...start, ...new Array<number>(16 - start.length - end.length).fill(0), ...end];
}

const bytesOf = (groups: string): number[] =>
  groups === ""
    ? []
    : groups.split(":").flatMap((group) => {
        if (group.includes(".")) return group.split(".").map(Number);
        const value = Number.parseInt(group, 16);
        return [value >> 8, value & 0xff];
      });
