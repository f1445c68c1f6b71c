/** Ends a connection by RST, also one with TLS in it, whose own socket has none. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { resetSocket } from "@inpod/tunnel";

const carriers = new WeakMap<Socket, Socket>();
const carried = new WeakMap<Socket, TLSSocket>();

export function carriedBy(tls: TLSSocket, carrier: Socket): TLSSocket {
  carriers.set(tls, carrier);
  carried.set(carrier, tls);
  return tls;
}

/**
 * What is still queued is dropped, as the kernel does it: who does not read holds up nothing, and takes what he has for
 * no whole.
 */
export function reset(socket: Socket): void {
  const carrier = carriers.get(socket) ?? socket;
  resetSocket(carrier, carried.get(carrier));
}
