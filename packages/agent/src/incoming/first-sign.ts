/** What a client does first, for who must know it before anybody takes its connection. */
import type { Socket } from "node:net";
import { afterSilence } from "./silence.ts";

/** `ended`: a FIN, and no byte before it. */
export type FirstSign = "bytes" | "ended" | "silent";

/**
 * @param socket paused; it is paused again when it is told, and its bytes are still to come
 * @param patienceMs after it a client is `silent`
 * @param decide once; never for a client that is gone meanwhile
 */
export function firstSign(
  socket: Socket,
  patienceMs: number,
  decide: (sign: FirstSign) => void,
): void {
  const over = (sign: FirstSign): void => {
    stop();
    socket.pause();
    decide(sign);
  };
  const onData = (bytes: Buffer): void => {
    stop();
    socket.pause();
    socket.unshift(bytes);
    decide("bytes");
  };
  const onEnd = (): void => over("ended");
  const stop = (): void => {
    heard();
    socket.off("data", onData);
    socket.off("end", onEnd);
    socket.off("close", stop);
  };
  const heard = afterSilence(patienceMs, () => over("silent"));
  socket.on("data", onData);
  socket.once("end", onEnd);
  socket.once("close", stop);
  socket.resume();
}
