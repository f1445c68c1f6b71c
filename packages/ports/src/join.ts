/** A local socket and a channel of the target become one. */
import type { Socket } from "node:net";
import { type Channel, splice } from "@inpod/session";

/**
 * @param socket paused, with what was read of it back in it. Its end may have come meanwhile: of an empty stream Node
 *   tells that also while it is paused
 */
export function join(socket: Socket, channel: Channel): void {
  splice(socket, channel);
  if (socket.readableEnded) channel.end();
  else socket.resume();
}
