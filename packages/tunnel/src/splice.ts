/** A socket and a channel become one: half-close, resets and back pressure pass both ways. */
import type { Socket } from "node:net";
import type { Channel } from "./api.ts";
import { resetSocket } from "./reset.ts";

export function splice(socket: Socket, channel: Channel): void {
  let isOver = false;
  socket.allowHalfOpen = true;

  channel.onData = (bytes) => {
    const isTaken = socket.write(bytes, () => channel.consumed(bytes.length));
    void isTaken; // the peer's credit, given back as the socket takes the bytes, is the limit
  };
  channel.onEnd = () => {
    socket.end();
  };
  channel.onReset = () => {
    isOver = true;
    resetSocket(socket);
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
    channel.reset(error.code ?? "ECONNRESET");
  });
  socket.on("close", () => {
    if (isOver) return;
    isOver = true;
    // After both directions have ended this does nothing.
    if (!socket.readableEnded || !socket.writableFinished) channel.reset("ECONNRESET");
  });
}
