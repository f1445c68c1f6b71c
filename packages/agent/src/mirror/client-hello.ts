/** Whether a connection begins with TLS. Pure. */

/** A handshake record of TLS 1.0 to 1.3, whatever its length, that begins with ClientHello (RFC 8446, 5.1 and 4). */
const PATTERN = [
  (byte: number) => byte === 0x16,
  (byte: number) => byte === 0x03,
  (byte: number) => byte <= 0x04,
  () => true,
  () => true,
  (byte: number) => byte === 0x01,
] as const;

/** Undefined: so far it may be one. */
export function isClientHello(head: Uint8Array): boolean | undefined {
  for (const [at, matches] of PATTERN.entries()) {
    const byte = head[at];
    if (byte === undefined) return undefined;
    if (!matches(byte)) return false;
  }
  return true;
}
