/** Descriptors from another process of ours, over a unix socket. */
import { getSystemErrorName } from "node:util";
import { loadNative } from "./native.ts";

/** Two ends of a socket; who has them closes both. */
export function descriptorSocket(): readonly [number, number] {
  const pair = loadNative().socketPair(false);
  if (typeof pair === "number") throw new Error(`socketpair: ${getSystemErrorName(pair)}`);
  return pair;
}

/** Those of one message, which must have come already. The caller closes them. */
export function receiveDescriptors(socket: number): readonly number[] {
  const fds = loadNative().receiveDescriptors(socket);
  if (typeof fds === "number") throw new Error(`no descriptors: ${getSystemErrorName(fds)}`);
  return fds;
}
