/** What a file says of certificates and of TLS for the program. Files are read by who uses them (exec/tls.ts). */
import * as z from "zod";
import { works } from "./keys.ts";
import { list, port, section, text, words } from "./values.ts";

/** Where a certificate and its key are. */
export type CertificateSource = { readonly ports?: readonly number[] | undefined } & (
  | { readonly secret: string }
  | { readonly cert: string; readonly key: string }
);

/** How the program gets what was inside TLS. */
export interface DeliveryConfig {
  readonly protocol: "tls" | "tcp";
  /** Files, or directories of them. */
  readonly trustRoots?: readonly string[] | undefined;
  readonly serverName?: string | undefined;
  /** A file. */
  readonly serverCert?: string | undefined;
}

export interface TlsConfig {
  readonly certificates: readonly CertificateSource[];
  readonly delivery: DeliveryConfig;
}

export const readsSecrets = ({ certificates }: TlsConfig): boolean =>
  certificates.some((each) => "secret" in each);

const WHAT = "an object with cert and key, or with secret";
const ports = list(port, "port numbers").optional();
const source = z.union(
  [z.strictObject({ ports, secret: text }), z.strictObject({ ports, cert: text, key: text })],
  { error: WHAT },
);

export const tls = works(
  list(source, "certificates"),
  "certificates by which filters see what is inside TLS: cert and key (files), or secret (in the target's namespace); ports, if not for all",
  { type: "list of object" },
);

const delivery = (into?: string) => {
  const at = (key: string) => (into === undefined ? {} : { into: `${into}.${key}` });
  return section({
    protocol: works(
      words(["tls", "tcp"]),
      "whether the program gets TLS again, or what was inside it",
      at("protocol"),
    ),
    trust_roots: works(
      list(text, "files"),
      "files and directories of certificates, of which one must have signed the program's",
      at("trust_roots"),
    ),
    server_name: works(
      text,
      "the name that the program is asked for; else the one that its client means",
      at("server_name"),
    ),
    server_cert: works(
      text,
      "file with the certificate that the program must have",
      at("server_cert"),
    ),
  }).refine(
    ({ trust_roots, server_cert }) => trust_roots === undefined || server_cert === undefined,
    { error: "either trust_roots or server_cert" },
  );
};

export const tlsDelivery = works(delivery(), "how the program gets what was inside TLS");
/** As mirrord named it first. */
export const httpsDelivery = works(
  delivery("feature.network.incoming.tls_delivery"),
  "the old name of tls_delivery",
  { into: "feature.network.incoming.tls_delivery" },
);

export const deliveryOf = (said: z.output<typeof tlsDelivery> = {}): DeliveryConfig => ({
  protocol: said.protocol ?? "tls",
  trustRoots: said.trust_roots,
  serverName: said.server_name,
  serverCert: said.server_cert,
});
