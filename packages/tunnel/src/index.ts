/**
 * The tunnel on real streams, for both of its ends: the greeting that proves who speaks, the pure core of
 * @inpod/protocol bound to a Duplex and a clock, and sockets spliced to its streams. It knows nothing of what
 * the streams are for.
 */
export type {
  Channel,
  IncomingChannel,
  OutgoingChannel,
  Tunnel,
  TunnelError,
  TunnelHandlers,
} from "./api.ts";
export { acceptTunnel, connectTunnel } from "./connection.ts";
export { copyTo } from "./copy-to.ts";
export { duplexOf } from "./duplex.ts";
export { TunnelFailure } from "./failure.ts";
export { peekAgent, publicKeyFromRaw, rawFromPublicKey } from "./hello.ts";
export { resetSocket } from "./reset.ts";
export { splice } from "./splice.ts";
export { tuneForRelaying } from "./tune.ts";
