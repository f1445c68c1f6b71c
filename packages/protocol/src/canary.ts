/** One connection through a Service, to see whether what is sent to it arrives at the agent. */
import { address, fail, fields, integer, port, text } from "./foreign.ts";

export interface CanaryWish {
  /** The pod's TCP port, which the session steals or mirrors. */
  readonly port: number;
  readonly way: "steal" | "mirror";
  /** The Service's: an IP literal, and the port of the Service. */
  readonly host: string;
  readonly servicePort: number;
  /** At most; others may answer for the Service as well. 0: somebody else tries, and it may arrive here. */
  readonly attempts: number;
  /** By which it is known where it arrives: 32 hexadecimal digits. */
  readonly nonce: string;
  readonly timeoutMs: number;
}

export interface CanaryResult {
  readonly isProved: boolean;
  /** From the first attempt to the end. */
  readonly ms: number;
  readonly attempts: number;
  /** Of them, those that somebody accepted, and nothing of it was seen here. */
  readonly elsewhere: number;
  /** Of the last one that nobody accepted, as connect(2) says it. */
  readonly errno?: string;
  /** The connection did not leave the pod's network: who makes the Service's address another one does it in the pod. */
  readonly staysInside: boolean;
}

export const MAX_CANARY_ATTEMPTS = 64;
export const MAX_CANARY_MS = 5000;

/** @throws ProtocolError */
export function parseCanaryWish(value: unknown): CanaryWish {
  const from = fields(value, "canary");
  const { way } = from;
  return {
    port: port(from.port) || fail("port"),
    way: way === "steal" || way === "mirror" ? way : fail("way"),
    host: address(from.host),
    servicePort: port(from.servicePort) || fail("port"),
    attempts: integer(from.attempts, "attempts", MAX_CANARY_ATTEMPTS),
    nonce: nonceOf(from.nonce),
    timeoutMs: integer(from.timeoutMs, "timeout", MAX_CANARY_MS),
  };
}

function nonceOf(value: unknown): string {
  const nonce = text(value, "nonce", 32);
  return /^[0-9a-f]{32}$/.test(nonce) ? nonce : fail("nonce");
}

/** @throws ProtocolError */
export function parseCanaryResult(value: unknown): CanaryResult {
  const from = fields(value, "canary's result");
  return {
    isProved: from.isProved === true,
    ms: integer(from.ms, "ms"),
    attempts: integer(from.attempts, "attempts"),
    elsewhere: integer(from.elsewhere, "elsewhere"),
    ...(from.errno === undefined ? {} : { errno: text(from.errno, "errno", 32) }),
    staysInside: from.staysInside === true,
  };
}
