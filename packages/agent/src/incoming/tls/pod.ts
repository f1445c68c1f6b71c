/** TLS with the pod's own server, as a client of the pod would begin it. */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import { connect } from "node:tls";
import type { ClientHello } from "@inpod/http";
import { carriedBy } from "../reset.ts";

/** The pod is on this side of every wire; a server may be busy. */
const HANDSHAKE_MS = 10_000;

export interface PodTls {
  readonly socket: Socket;
  /** What it has chosen of what the client offers. */
  readonly alpn: string | undefined;
  readonly certificate: X509Certificate | undefined;
}

/**
 * The certificate is not judged: whom we reach is known by the address, which is the pod's.
 *
 * @param socket connected; its end is the end of this
 * @returns its socket is not read yet, can be half-open, and reset() knows it. Or the server wants to see
 *   a certificate of the client's, which nobody but the client has. Rejects with OpenSSL's error.
 */
export function tlsWithPod(
  socket: Socket,
  { serverName, alpn }: Pick<ClientHello, "serverName" | "alpn">,
): Promise<PodTls | "asks-for-certificate"> {
  return new Promise((resolve, reject) => {
    const tls = connect({
      socket,
      minVersion: "TLSv1.2",
      // What the pod's server has is the pod's business, also a key that is short.
      ciphers: "DEFAULT:@SECLEVEL=0",
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
      ...(serverName === undefined ? {} : { servername: serverName }),
      ...(alpn.length === 0 ? {} : { ALPNProtocols: wireFormat(alpn) }),
    });
    const timer = setTimeout(() => socket.destroy(new Error("no answer in time")), HANDSHAKE_MS);
    // A client knows a server's signature algorithms by its CertificateRequest (SSL_get_shared_sigalgs(3)), of which
    // Node tells nothing else. A server of TLS 1.2 may end the handshake because the answer is empty.
    const isAsked = (): boolean => tls.getSharedSigalgs().length > 0;
    const failed = (error: Error & { code?: string }): void => {
      clearTimeout(timer);
      tls.off("close", closed);
      // Of a connection that is closed already Node must not be asked (20 to 24 end with SIGSEGV); after an alert it is
      // still open.
      const asked = /^ERR_SSL_/.test(error.code ?? "") && Reflect.get(tls, "ssl") && isAsked();
      socket.destroy();
      if (asked) resolve("asks-for-certificate");
      else reject(error);
    };
    const closed = (): void => {
      clearTimeout(timer);
      reject(new Error("the connection was closed"));
    };
    tls.once("error", failed);
    tls.on("error", () => undefined); // a second one
    tls.once("close", closed);
    tls.once("secureConnect", () => {
      clearTimeout(timer);
      tls.off("error", failed);
      tls.off("close", closed);
      if (isAsked()) {
        socket.destroy();
        resolve("asks-for-certificate");
        return;
      }
      resolve({
        socket: carriedBy(tls, socket),
        alpn: typeof tls.alpnProtocol === "string" ? tls.alpnProtocol : undefined,
        certificate: tls.getPeerX509Certificate(),
      });
    });
  });
}

/** Each name behind its length (RFC 7301, section 3.1); a list of strings would be UTF-8. */
function wireFormat(protocols: readonly string[]): Uint8Array {
  return Buffer.concat(
    protocols.map((name) => Buffer.from(`${String.fromCharCode(name.length)}${name}`, "latin1")),
  );
}
