/** Certificates that sessions have given for the time they live: of them nothing is kept, written or told anywhere. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { createSecureContext, type SecureContext } from "node:tls";
import type { CertificateText } from "@inpod/protocol";
import { Failure } from "../../failure.ts";

export class ServerCertificate {
  readonly context: SecureContext;
  readonly #leaf: X509Certificate;
  readonly #ports: readonly number[] | undefined;

  /** @throws Failure EINVAL, with nothing of the key in it */
  constructor({ cert, key, ports }: CertificateText) {
    this.#ports = ports;
    try {
      this.#leaf = new X509Certificate(cert);
    } catch {
      throw new Failure("EINVAL", "the certificate cannot be read");
    }
    if (!fits(this.#leaf, key)) {
      throw new Failure("EINVAL", "the key cannot be read, or is not the certificate's");
    }
    try {
      this.context = createSecureContext({ cert, key, minVersion: "TLSv1.2" });
    } catch {
      throw new Failure("EINVAL", "the certificate cannot be used by a server");
    }
  }

  isFor(port: number): boolean {
    return this.#ports?.includes(port) ?? true;
  }

  hasName(name: string): boolean {
    return this.#leaf.checkHost(name) !== undefined;
  }

  /** @param other of whatever certificate */
  isSame(other: X509Certificate): boolean {
    return this.#leaf.raw.equals(other.raw);
  }

  /** The same certificate for the same ports: one that is given again takes its place. */
  replaces(other: ServerCertificate): boolean {
    return this.isSame(other.#leaf) && String(this.#ports) === String(other.#ports);
  }
}

function fits(leaf: X509Certificate, key: string): boolean {
  try {
    return leaf.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false;
  }
}

/**
 * With which one a client is answered: with the pod's own, if somebody has given that; else with the first that has
 * the name for which the client asks, or the first of all for who asks for none.
 *
 * @param ofPod what the pod's server shows to this client; undefined: it does not answer
 */
export function chooseCertificate(
  certificates: readonly ServerCertificate[],
  serverName: string | undefined,
  ofPod: X509Certificate | undefined,
): ServerCertificate | undefined {
  return (
    (ofPod && certificates.find((one) => one.isSame(ofPod))) ??
    (serverName === undefined
      ? certificates[0]
      : certificates.find((one) => one.hasName(serverName)))
  );
}
