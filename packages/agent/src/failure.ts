import { constants } from "node:os";

/** A failure that crosses the tunnel with its errno name; its message is for people, without secrets. */
export { TunnelFailure as Failure } from "@inpod/tunnel";

const names = new Map(Object.entries(constants.errno).map(([name, number]) => [number, name]));

/** "ECONNREFUSED" for 111. EAGAIN and ENOTSUP share their numbers with EWOULDBLOCK and EOPNOTSUPP. */
export function errnoName(number: number): string {
  if (number === constants.errno.EAGAIN) return "EAGAIN";
  if (number === constants.errno.EOPNOTSUPP) return "EOPNOTSUPP";
  return names.get(number) ?? "EIO";
}

/** The errno of an error of Node's own, which calls it `code` ("ECONNREFUSED", but also "ERR_…"). */
export function errnoOf(error: unknown): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === "string" && code in constants.errno ? code : "EIO";
}
