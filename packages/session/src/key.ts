import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { rawFromPublicKey } from "@inpod/tunnel";

/** By which an agent knows its session. */
export interface SessionKey {
  readonly sessionId: string;
  readonly privateKey: KeyObject;
  /** Raw, base64: what the agent is started with. */
  readonly publicKey: string;
}

/** Lives in this process only. */
export function newSessionKey(): SessionKey {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const sessionId = randomBytes(5).toString("hex");
  return { sessionId, privateKey, publicKey: rawFromPublicKey(publicKey) };
}
