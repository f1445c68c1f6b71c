/**
 * What came in TLS, which has ended in the agent, goes on in TLS again: with the server name and the protocol of its client,
 * to a program of this machine.
 */
import { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { checkServerIdentity, connect } from "node:tls";
import type { TlsFacts } from "@inpod/protocol";
import { type Channel, resetSocket, splice } from "@inpod/tunnel";

/** How a program gets it. */
export interface TlsDelivery {
  readonly protocol: "tls" | "tcp";
  /** PEM: the program's certificate must be signed by one of them, and have the name. */
  readonly trustRoots?: readonly string[] | undefined;
  /** Default: the one that the client means, else `localhost`. */
  readonly serverName?: string | undefined;
  /** PEM: the program must have this certificate. */
  readonly serverCert?: string | undefined;
}

export interface TlsFailure {
  readonly why: string;
  /** `answered`: by something else than TLS. `closed`: without a word. */
  readonly kind: "answered" | "closed" | "other";
}

/** A program that waits in a debugger takes its time. */
const HANDSHAKE_MS = 60_000;
/** OpenSSL's, for first bytes that are no record of TLS: HTTP's "HTTP/1.1 400", the SETTINGS of HTTP/2. */
const NO_RECORD = /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST)$/;

/**
 * @param socket connected to the program, and nothing of `channel` has been read: what comes meanwhile waits there, with the
 *   sender's credit as the limit, for nothing is said to a program before it is known to be the right one
 * @param onFailed the program does not speak TLS, or not as it must. The socket is closed; the channel is the caller's.
 * @returns ends it, by a reset of the program's connection; onFailed is not called then
 */
export function deliverTls(
  socket: Socket,
  channel: Channel,
  { serverName, alpn }: TlsFacts,
  delivery: TlsDelivery | undefined,
  onFailed: (failure: TlsFailure) => void,
): () => void {
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
  let isOver = false;
  const stop = (): void => {
    isOver = true;
    clearTimeout(timer);
    resetSocket(socket, tls);
  };
  const failed = (why: string, kind: TlsFailure["kind"] = "other"): void => {
    clearTimeout(timer);
    if (isOver) return;
    isOver = true;
    channel.onReset = undefined;
    socket.destroy();
    onFailed({ why, kind });
  };
  const timer = setTimeout(() => failed("no answer in time"), HANDSHAKE_MS);
  channel.onReset = stop;
  tls.on("error", ({ code = "", reason, message }: Error & { code?: string; reason?: string }) => {
    if (NO_RECORD.test(code)) failed(reason ?? message, "answered");
    else if (code === "ECONNRESET") failed("it closes the connection", "closed");
    else failed(reason ?? message);
  });
  tls.once("close", () => failed("it closes the connection", "closed"));
  tls.once("secureConnect", () => {
    if (isOver) return;
    const wanted = delivery?.serverCert;
    const found = tls.getPeerX509Certificate();
    if (wanted !== undefined && !found?.raw.equals(new X509Certificate(wanted).raw))
      return failed("its certificate is not that of server_cert");
    if (alpn === "h2" && tls.alpnProtocol !== "h2")
      return failed("the client has agreed on HTTP/2 with the target, which it does not take");
    isOver = true;
    clearTimeout(timer);
    splice(tls, channel, socket);
  });
  return stop;
}
