import { connect, type Socket, type TcpNetConnectOpts } from "node:net";
import { Failure } from "../failure.ts";

/**
 * A socket to who serves a stolen port, half-open allowed and paused: nothing of it is lost before anybody listens.
 * @throws Failure ETIMEDOUT with `late`, or connect(2)'s error
 */
export function established(
  to: Pick<TcpNetConnectOpts, "host" | "port" | "localPort">,
  timeoutMs: number,
  late: string,
): Promise<Socket> {
  const socket = connect({ ...to, allowHalfOpen: true, noDelay: true });
  socket.pause();
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.destroy(new Failure("ETIMEDOUT", late)), timeoutMs);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.on("error", () => undefined);
      resolve(socket);
    });
    socket.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}
