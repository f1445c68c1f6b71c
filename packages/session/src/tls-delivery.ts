/** A request that came in TLS, which has ended in the agent, reaches the program in TLS again: with what the client said. */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { checkServerIdentity, connect } from "node:tls";
import type { TlsFacts } from "@inpod/protocol";
import type { Channel } from "@inpod/session";
import { resetSocket, splice } from "@inpod/session";
import type { TlsDelivery } from "../config.ts";

/** A program that waits in a debugger takes its time. */
const HANDSHAKE_MS = 60_000;

/**
 * @param socket connected to the program
 * @param onFailed the program does not speak TLS, or not as it must. The client's connection is reset.
 */
export function deliverTls(
  socket: Socket,
  channel: Channel,
  { serverName, alpn }: TlsFacts,
  delivery: TlsDelivery | undefined,
  onFailed: (why: string) => void,
): void {
  const name = delivery?.serverName ?? serverName ?? "localhost";
  const roots = delivery?.trustRoots;
  const tls = connect({
    socket,
    servername: name,
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
    ...(roots === undefined ? {} : { ca: [...roots] }),
    // It is on this machine: without a wish nobody is asked who he is.
    rejectUnauthorized: roots !== undefined,
    checkServerIdentity: (_, certificate) =>
      roots === undefined ? undefined : checkServerIdentity(name, certificate),
  });
  // Nothing is said to a program before it is known to be the right one. The sender's credit is the limit.
  const held: Uint8Array[] = [];
  let hasEnded = false;
  let isOver = false;
  channel.onData = (bytes) => held.push(bytes);
  channel.onEnd = () => {
    hasEnded = true;
  };
  channel.onReset = () => {
    isOver = true;
    resetSocket(socket, tls);
  };
  const timer = setTimeout(() => failed("no answer in time"), HANDSHAKE_MS);
  const failed = (why: string): void => {
    clearTimeout(timer);
    if (isOver) return;
    isOver = true;
    onFailed(why);
    channel.reset("ECONNRESET");
    socket.destroy();
  };
  tls.on("error", (error: Error & { reason?: string }) => failed(error.reason ?? error.message));
  tls.once("close", () => failed("it closes the connection"));
  tls.once("secureConnect", () => {
    clearTimeout(timer);
    if (isOver) return;
    const wanted = delivery?.serverCert;
    const found = tls.getPeerX509Certificate();
    if (wanted !== undefined && !found?.raw.equals(new X509Certificate(wanted).raw)) {
      failed("its certificate is not that of server_cert");
    } else if (alpn === "h2" && tls.alpnProtocol !== "h2") {
      failed("the client has agreed on HTTP/2 with the target, which it does not take");
    } else {
      isOver = true;
      splice(tls, channel, socket);
      for (const bytes of held) channel.onData?.(bytes);
      if (hasEnded) channel.onEnd?.();
    }
  });
}
