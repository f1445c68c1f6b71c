/** A mirrored connection: what comes through the channel goes to the program, what the program answers goes nowhere. */
import type { Socket } from "node:net";
import type { Channel } from "@inpod/session";
import { resetSocket } from "@inpod/session";

/**
 * @param isOfRequests the connection carries some requests of one: when the program closes its direction the next one is
 *   to come over another connection, as clients do it
 */
export function feed(socket: Socket, channel: Channel, isOfRequests: boolean): void {
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
  // Our direction is over before it begins, or says when the program's is.
  if (isOfRequests) socket.once("end", () => channel.end());
  else channel.end();
  socket.resume();
  socket.on("error", () => undefined); // "close" follows
  socket.on("close", () => {
    // Of what the program has closed, no more is copied.
    if (!isOver) channel.reset("EPIPE");
  });
}
