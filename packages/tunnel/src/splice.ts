/** A socket and a channel become one: half-close, resets and back pressure pass both ways. */
import type { Socket } from "node:net";
import type { Channel } from "./api.ts";
import { resetSocket } from "./reset.ts";

/** @param transport what is reset in its place: a socket of TLS has no RST of its own */
export function splice(socket: Socket, channel: Channel, transport = socket): void {
  let isOver = false;
  let isCorked = false;
  socket.allowHalfOpen = true;

  const uncork = (): void => {
    isCorked = false;
    socket.uncork();
  };
  channel.onData = (bytes) => {
    // What the tunnel read at once is one write, though frames cut it: each wakes up whoever reads.
    if (!isCorked) {
      isCorked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    const isTaken = socket.write(bytes, () => channel.consumed(bytes.length));
    void isTaken; // the peer's credit, given back as the socket takes the bytes, is the limit
  };
  channel.onEnd = () => {
    socket.end();
  };
  channel.onReset = () => {
    isOver = true;
    resetSocket(transport, socket);
  };
  channel.onDrain = () => {
    socket.resume();
  };
  socket.on("data", (chunk: Buffer) => {
    if (!channel.write(chunk)) socket.pause();
  });
  socket.on("end", () => channel.end());
  socket.on("error", (error: NodeJS.ErrnoException) => {
    if (isOver) return;
    isOver = true;
    // Beside those of the system there are Node's own ("ERR_SSL_…"), which mean nothing to the other end.
    channel.reset(/^E[A-Z0-9]+$/.test(error.code ?? "") ? String(error.code) : "ECONNRESET");
  });
  socket.on("close", () => {
    if (isOver) return;
    isOver = true;
    // After both directions have ended this does nothing.
    if (!socket.readableEnded || !socket.writableFinished) channel.reset("ECONNRESET");
  });
}
