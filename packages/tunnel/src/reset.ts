import type { Socket } from "node:net";

/**
 * Ends a TCP socket by RST at once. Node's own resetAndDestroy() first writes what is queued and sends FIN
 * (it is destroySoon() with a flag), so the peer may read a clean end: a truncated body would look complete.
 */
export function resetSocket(socket: Socket): void {
  // What resetAndDestroy() sets, and _destroy() reads, in Node 18 to 26 (lib/net.js). A unix socket has no RST.
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle === "object" && handle !== null && "reset" in handle)
    Object.assign(socket, { resetAndClosing: true });
  socket.destroy();
}
