/** Certificates for tests, signed by themselves or by one another: ECDSA on P-256, in X.509's DER (RFC 5280). */
import {
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from "node:crypto";

export interface CertificateOptions {
  /** DNS names; the first is the common name, too. */
  readonly names: readonly string[];
  /** Default: an hour ago. */
  readonly notBefore?: Date;
  /** Default: in a day. */
  readonly notAfter?: Date;
  /** Who signs it; default: it is its own root, as one that may sign others. */
  readonly issuer?: Certificate;
}

export interface Certificate {
  readonly name: string;
  /** PEM. */
  readonly cert: string;
  readonly key: string;
}

const HOUR_MS = 3_600_000;

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size =
    length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length];
  return Buffer.concat([Buffer.from([tag, ...size.map((byte) => byte & 0xff)]), content]);
};
const sequence = (...parts: readonly Uint8Array[]): Buffer => der(0x30, ...parts);
const oid = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"));
const text = (tag: number, value: string): Buffer => der(tag, Buffer.from(value, "latin1"));
const bits = (value: Uint8Array): Buffer => der(0x03, Buffer.of(0), value);

const ECDSA_WITH_SHA256 = sequence(oid("2a8648ce3d040302"));
const commonName = (name: string): Buffer =>
  sequence(der(0x31, sequence(oid("550403"), text(0x0c, name))));
/** GeneralizedTime is for every year (RFC 5280 wants UTCTime before 2050, and every reader takes this). */
const time = (at: Date): Buffer =>
  text(0x18, `${at.toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`);
const extension = (hex: string, value: Buffer): Buffer => sequence(oid(hex), der(0x04, value));

export function makeCertificate(options: CertificateOptions): Certificate {
  const { names, issuer } = options;
  const now = Date.now();
  const { notBefore = new Date(now - HOUR_MS), notAfter = new Date(now + 24 * HOUR_MS) } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const name = names[0] ?? "nobody";
  const signer: KeyObject = issuer ? createPrivateKey(issuer.key) : privateKey;
  const alternatives = names.map((each) => text(0x82, each));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    der(0x02, Buffer.of(1), randomBytes(15)), // serial number
    ECDSA_WITH_SHA256,
    commonName(issuer?.name ?? name),
    sequence(time(notBefore), time(notAfter)),
    commonName(name),
    publicKey.export({ format: "der", type: "spki" }),
    der(
      0xa3,
      sequence(
        extension("551d11", sequence(...alternatives)),
        ...(issuer ? [] : [extension("551d13", sequence(der(0x01, Buffer.of(0xff))))]),
      ),
    ),
  );
  const whole = sequence(body, ECDSA_WITH_SHA256, bits(sign("sha256", body, signer)));
  const lines = whole.toString("base64").match(/.{1,64}/g) ?? [];
  return {
    name,
    cert: ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n"),
    key: privateKey.export({ format: "pem", type: "pkcs8" }).toString(),
  };
}
