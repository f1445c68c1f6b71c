/** The user's certificates, read and judged before anything is made: what the agent would refuse is told in better words. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { type CertificateText, MAX_PEM, UserError } from "@inpod/protocol";
import type { TlsDelivery } from "@inpod/session";
import type { Target } from "@inpod/targets";
import type { CertificateSource, DeliveryConfig } from "../config/tls.ts";

const MAX_FILE = 1024 * 1024;
const KEY = "feature.network.incoming.tls";

/**
 * @param directory to which relative paths belong
 * @throws UserError; nothing of a key is in it
 */
export function loadCertificates(
  sources: readonly CertificateSource[],
  target: Pick<Target, "name" | "tlsSecret">,
  directory: string,
  signal: AbortSignal,
): Promise<CertificateText[]> {
  return Promise.all(
    sources.map(async (source) => {
      const { cert, key, from } = await pemOf(source, target, directory, signal);
      judge(cert, key, from);
      return { cert, key, ...(source.ports === undefined ? {} : { ports: source.ports }) };
    }),
  );
}

interface Names {
  readonly cert: string;
  readonly key: string;
}

async function pemOf(
  source: CertificateSource,
  target: Pick<Target, "name" | "tlsSecret">,
  directory: string,
  signal: AbortSignal,
): Promise<Names & { readonly from: Names }> {
  if ("secret" in source) {
    if (target.tlsSecret === undefined) throw noSecrets(source.secret, target.name);
    const pem = await target.tlsSecret(source.secret, signal);
    const name = `secret/${source.secret}`;
    return { ...pem, from: { cert: `tls.crt of ${name}`, key: `tls.key of ${name}` } };
  }
  const from = { cert: resolve(directory, source.cert), key: resolve(directory, source.key) };
  return { cert: readPem(from.cert), key: readPem(from.key), from };
}

/** @throws UserError */
export function loadDelivery(
  { protocol, trustRoots, serverName, serverCert }: DeliveryConfig,
  directory: string,
): TlsDelivery {
  const roots = trustRoots?.flatMap((path) => rootsIn(resolve(directory, path)));
  const own = serverCert === undefined ? undefined : resolve(directory, serverCert);
  const text = own === undefined ? undefined : readPem(own);
  if (own !== undefined && text !== undefined) readCertificate(text, own);
  return { protocol, trustRoots: roots, serverName, serverCert: text };
}

/** Of a directory all files that hold one, as mirrord reads them. */
function rootsIn(path: string): string[] {
  let isDirectory = false;
  try {
    isDirectory = statSync(path).isDirectory();
  } catch (cause) {
    throw unreadable(path, cause);
  }
  const files = isDirectory
    ? readdirSync(path)
        .sort()
        .map((name) => join(path, name))
    : [path];
  const found = files.flatMap((file) => {
    if (isDirectory && !statSync(file).isFile()) return [];
    return readPem(file).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  });
  if (found.length === 0) throw noCertificate(path);
  for (const text of found) readCertificate(text, path);
  return found;
}

function readPem(path: string): string {
  try {
    const text = readFileSync(path, "latin1");
    if (text.length > MAX_FILE) throw new Error("it is larger than 1 MiB");
    return text;
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

function readCertificate(text: string, from: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch {
    throw noCertificate(from);
  }
}

function judge(cert: string, key: string, from: Names): void {
  const certificate = readCertificate(cert, from.cert);
  const now = Date.now();
  const [begins, ends] = [Date.parse(certificate.validFrom), Date.parse(certificate.validTo)];
  if (now > ends) throw notNow(from.cert, `has expired on ${day(ends)}`);
  if (now < begins) throw notNow(from.cert, `is not valid before ${day(begins)}`);
  if (!certificate.checkPrivateKey(readKey(key, from.key))) {
    throw new UserError(
      "TLS_KEY_MISMATCH",
      `the key in ${from.key} is not that of the certificate in ${from.cert}`,
      {
        hints: ["if the file has several certificates, the server's own must be the first"],
      },
    );
  }
  if (cert.length + key.length > MAX_PEM) {
    throw new UserError(
      "TLS_CERTIFICATE_TOO_LONG",
      `${from.cert} is too long: with its key it may have ${MAX_PEM} bytes`,
      {
        hints: ["leave the server's own certificate and those that have signed it"],
      },
    );
  }
  try {
    createSecureContext({ cert, key });
  } catch (cause) {
    throw new UserError(
      "TLS_CERTIFICATE_UNUSABLE",
      `no server can use the certificate in ${from.cert}`,
      {
        // OpenSSL's word, without what it was about: "ee key too small".
        cause: new Error((cause as { reason?: string }).reason ?? "it is refused"),
        hints: [],
      },
    );
  }
}

function readKey(text: string, from: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch (error) {
    const isLocked = (error as { code?: string }).code === "ERR_MISSING_PASSPHRASE";
    throw new UserError(
      "TLS_KEY_UNREADABLE",
      isLocked ? `the key in ${from} has a passphrase` : `there is no private key in ${from}`,
      {
        hints: [
          isLocked
            ? "write it without one: openssl pkey -in KEY -out PLAIN"
            : "it must be PEM: -----BEGIN PRIVATE KEY-----",
        ],
      },
    );
  }
}

const day = (ms: number): string =>
  `${new Date(ms).toISOString().slice(0, 16).replace("T", " ")} UTC`;

const notNow = (from: string, what: string): UserError =>
  new UserError("TLS_CERTIFICATE_EXPIRED", `the certificate in ${from} ${what}`, {
    hints: [`give another one in ${KEY}`],
  });

const unreadable = (path: string, cause: unknown): UserError =>
  new UserError("TLS_FILE_UNREADABLE", `${path} cannot be read`, {
    cause,
    hints: [`check ${KEY} and ${KEY}_delivery; relative paths begin in the current directory`],
  });

const noCertificate = (from: string): UserError =>
  new UserError("TLS_CERTIFICATE_UNREADABLE", `there is no certificate in ${from}`, {
    hints: ["it must be PEM: -----BEGIN CERTIFICATE-----"],
  });

const noSecrets = (secret: string, target: string): UserError =>
  new UserError("TLS_SECRET_NO_CLUSTER", `there is no secret/${secret} beside ${target}`, {
    hints: [`Secrets are in clusters only: give cert and key in ${KEY}`],
  });
