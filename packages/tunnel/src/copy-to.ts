/** A mirrored connection: what comes through the channel goes to the local end, what that answers goes nowhere. */
import type { Socket } from "node:net";
import type { Channel } from "./api.ts";
import { resetSocket } from "./reset.ts";

/**
 * @param isOfRequests the connection carries some requests of one: when the local end closes its direction the next one
 *   is to come over another connection, as clients do it
 */
export function copyTo(socket: Socket, channel: Channel, isOfRequests: boolean): void {
  let isOver = false;
  channel.onData = (bytes) => {
    // The sender's credit, given back as the socket takes the bytes, is the limit.
    socket.write(bytes, () => channel.consumed(bytes.length));
  };
  channel.onEnd = () => {
    isOver = true;
    socket.end();
  };
  channel.onReset = () => {
    isOver = true;
    resetSocket(socket);
  };
  // Our direction is over before it begins, or says when the local end's is.
  if (isOfRequests) socket.once("end", () => channel.end());
  else channel.end();
  socket.resume();
  socket.on("error", () => {}); // "close" follows
  socket.on("close", () => {
    // Of what the local end has closed, no more is copied.
    if (!isOver) channel.reset("EPIPE");
  });
}
