import type { Socket } from "node:net";

/**
 * Ends a TCP socket by RST at once. Node's own resetAndDestroy() first writes what is queued and sends FIN
 * (it is destroySoon() with a flag), so the peer may read a clean end: a truncated body would look complete.
 *
 * @param speaker the socket of TLS whose bytes `socket` carries
 */
export function resetSocket(socket: Socket, speaker: Socket = socket): void {
  if (!socket.destroyed && isSendingFin(speaker)) {
    // The FIN comes before the RST, as it was asked for; it is out within a turn of the loop. To a reader of TLS a
    // connection without its last record is no clean end.
    if (speaker === socket) socket.once("finish", () => resetSocket(socket));
    else socket.destroy();
    return;
  }
  // What resetAndDestroy() sets, and _destroy() reads, in Node 18 to 26 (lib/net.js). A unix socket has no RST.
  const handle: unknown = Reflect.get(socket, "_handle");
  if (typeof handle === "object" && handle !== null && "reset" in handle && hasDescriptor(handle))
    Object.assign(socket, { resetAndClosing: true });
  socket.destroy();
}

/**
 * uv_tcp_close_reset() refuses while a shutdown() is under way, or before there is a descriptor. Node takes the handle
 * for closed all the same (TCPWrap::Reset): the descriptor would stay open for ever, and Node turn in circles at its end.
 */
const isSendingFin = (socket: Socket): boolean =>
  socket.writableEnded &&
  !socket.writableFinished &&
  socket.writableLength === 0 &&
  !socket.connecting;

const hasDescriptor = (handle: object): boolean =>
  !("fd" in handle) || typeof handle.fd !== "number" || handle.fd >= 0;
