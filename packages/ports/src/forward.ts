/** A port of this machine that stands for one that the target reaches. */
import type { Socket } from "node:net";
import { type Channel, resetSocket, TunnelFailure } from "@inpod/session";
import { join } from "./join.ts";
import type { TcpPort, UdpPeer, UdpPort } from "./local-port.ts";
import { addressesOf, connectTo, type Destination, type Reach } from "./reach.ts";
import { TargetFlow } from "./target-flow.ts";

/** Local clients of a UDP port at once; the one that was silent longest loses its flow. */
const MAX_FLOWS = 1024;
/** Above the agent's own: its verdict comes first. */
const CONNECT_MS = 132_000;

export interface ForwardOptions {
  readonly reach: Reach;
  /** One after the other, until one does not refuse: as a rule one. */
  readonly to: readonly Destination[];
  /** A connection came to nothing, or datagrams. The local client has got a reset (UDP: nothing). */
  onFailure?(error: TunnelFailure): void;
  /** One was made, or answered. */
  onSuccess?(): void;
}

/** Each connection of `port` is one of the target. */
export function forwardTcp(port: TcpPort, options: ForwardOptions): void {
  port.serve((socket) => void connectFor(socket, options));
}

async function connectFor(socket: Socket, options: ForwardOptions): Promise<void> {
  const gone = new AbortController();
  const onClose = (): void => gone.abort();
  socket.once("close", onClose);
  try {
    const channel = await channelFor(options, gone.signal);
    socket.off("close", onClose);
    if (socket.destroyed) {
      channel.reset("ECONNRESET");
      return;
    }
    join(socket, channel);
  } catch (error) {
    if (!gone.signal.aborted) options.onFailure?.(failureOf(error));
    resetSocket(socket);
  }
}

/**
 * Where there is one address only, what the local client sends goes with the wish to connect: it has been accepted here
 * already, so a refusal is a reset in any case.
 */
async function channelFor(options: ForwardOptions, signal: AbortSignal): Promise<Channel> {
  const { reach, to, onFailure, onSuccess } = options;
  const [only] = to;
  const addresses = only && to.length === 1 ? await addressesOf(reach, only.host) : [];
  const [address] = addresses;
  if (only === undefined || address === undefined || addresses.length > 1) {
    const { channel } = await connectFirst(options, signal);
    onSuccess?.();
    return channel;
  }
  const channel = await reach.openTcp(address, only.port);
  const timer = setTimeout(() => {
    onFailure?.(new TunnelFailure("ETIMEDOUT", "no answer"));
    channel.reset("ETIMEDOUT");
    channel.onReset?.("ETIMEDOUT", "");
  }, CONNECT_MS);
  channel.opened
    .then(
      () => onSuccess?.(),
      (error: unknown) => onFailure?.(failureOf(error)),
    )
    .finally(() => clearTimeout(timer));
  return channel;
}

async function connectFirst({ reach, to }: ForwardOptions, signal: AbortSignal) {
  let failure: unknown;
  for (const each of to) {
    try {
      return await connectTo(reach, each, signal);
    } catch (error) {
      failure ??= error;
      if (!(error instanceof TunnelFailure) || error.errno !== "ECONNREFUSED") break;
    }
  }
  throw failure ?? new TunnelFailure("EINVAL", "nowhere to connect to");
}

/** Each client of `port` has a socket of its own in the target, as long as something goes either way. */
export function forwardUdp(
  port: UdpPort,
  { reach, to: [to], onFailure, onSuccess }: ForwardOptions,
): { close(): void } {
  const flows = new Map<string, TargetFlow>();
  port.serve((bytes, from, answer) => {
    if (to === undefined) return;
    const key = keyOf(from);
    let flow = flows.get(key);
    if (!flow) {
      const [oldest] = flows.keys();
      if (flows.size >= MAX_FLOWS && oldest !== undefined) {
        flows.get(oldest)?.close();
        flows.delete(oldest);
      }
      const made = new TargetFlow({
        ...{ reach, to },
        onDatagram: (reply) => {
          onSuccess?.();
          answer(reply);
        },
        onEnd: (error) => {
          if (flows.get(key) === made) flows.delete(key);
          if (error.errno !== "ETIMEDOUT") onFailure?.(error);
        },
      });
      flow = made;
    }
    // The map's order is that of use.
    flows.delete(key);
    flows.set(key, flow);
    flow.send(bytes);
  });
  return {
    close: () => {
      for (const flow of flows.values()) flow.close();
      flows.clear();
    },
  };
}

const keyOf = ({ address, port }: UdpPeer): string => `${port} ${address}`;

export const failureOf = (error: unknown): TunnelFailure =>
  error instanceof TunnelFailure
    ? error
    : new TunnelFailure("EIO", error instanceof Error ? error.message : String(error));
