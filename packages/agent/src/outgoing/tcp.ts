/** A TCP connection of the user's process, made from the target's network namespace. */
import { connect, isIP, isIPv6, type Socket } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import type { Channel, IncomingChannel } from "@inpod/tunnel";
import { errnoOf } from "../failure.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";

/** Linux gives up a connect after 127 s (tcp_syn_retries 6); the true errno must come first. */
const CONNECT_TIMEOUT_MS = 130_000;

/** The wished port cannot be had in the target, or is in use towards this very peer. */
const NO_PORT = new Set(["EADDRINUSE", "EADDRNOTAVAIL", "EACCES"]);

/** Joins a socket and a channel both ways, with back pressure, half-close and resets: the tunnel package's. */
export type Splice = (socket: Socket, channel: Channel) => void;

export interface Destination {
  /** An IP literal: names are resolved by the program itself. */
  readonly host: string;
  readonly port: number;
  readonly fromPort?: number;
}

export interface TcpParts {
  readonly splice: Splice;
  readonly own: OwnEnds;
  /** Of each socket that is made, when it is. */
  readonly count: (socket: Socket) => void;
  readonly timeoutMs?: number;
}

export function isDestination({ host, port }: Destination): boolean {
  return (
    typeof host === "string" &&
    isIP(host) !== 0 &&
    Number.isInteger(port) &&
    port > 0 &&
    port < 65536
  );
}

/** Node shows the peer of a dual-stack socket as ::ffff:192.0.2.1. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

export function endpoint(address: string | undefined, port: number | undefined): Endpoint {
  return { address: plainAddress(address ?? ""), port: port ?? 0 };
}

/** Accepts `channel` when the peer has; resets it with connect(2)'s errno when not. */
export function openTcp(channel: IncomingChannel, to: Destination, parts: TcpParts): void {
  if (to.fromPort) openFrom(channel, to, to.fromPort, parts);
  else join(channel, to, connectTo(to), parts);
}

const connectTo = ({ host, port }: Destination, localPort?: number): Socket =>
  connect({
    ...{ host, port, allowHalfOpen: true, noDelay: true },
    ...(localPort === undefined ? {} : { localPort }),
  });

/** Nothing of the channel is touched until it is known whether the socket has its port. */
function openFrom(channel: IncomingChannel, to: Destination, port: number, parts: TcpParts): void {
  const socket = connectTo(to, port);
  const onError = (error: Error): void => {
    if (NO_PORT.has(errnoOf(error))) join(channel, to, connectTo(to), parts);
    else channel.reset(errnoOf(error));
  };
  socket.once("error", onError);
  // bind(2)'s error, and connect(2)'s own, come before anything else can.
  setImmediate(() => {
    if (socket.destroyed) return;
    socket.off("error", onError);
    join(channel, to, socket, parts);
  });
}

function join(
  channel: IncomingChannel,
  { host, port }: Destination,
  socket: Socket,
  { splice, own, count, timeoutMs = CONNECT_TIMEOUT_MS }: TcpParts,
): void {
  count(socket);
  const timer = setTimeout(() => {
    channel.reset("ETIMEDOUT");
    socket.destroy();
  }, timeoutMs);
  let isConnected = false;
  socket.once("connect", () => {
    clearTimeout(timer);
    isConnected = true;
    const local = endpoint(socket.localAddress, socket.localPort);
    own.add(local);
    socket.once("close", () => own.remove(local));
    channel.accept({
      kind: "tcp",
      local,
      peer: { address: host, port },
    });
  });
  // Before splice's own handler: the first reset's errno is the one that counts.
  socket.once("error", (error) => {
    // What is refused is ECONNREFUSED: a reset comes from who has accepted it before, and we have only not looked yet.
    if (!isConnected && errnoOf(error) === "ECONNRESET") {
      const local = { address: isIPv6(host) ? "::" : "0.0.0.0", port: 0 };
      channel.accept({ kind: "tcp", local, peer: { address: host, port } });
    }
    channel.reset(errnoOf(error));
  });
  socket.once("close", () => clearTimeout(timer));
  splice(socket, channel);
}
