/**
 * Who speaks: the first frames of a tunnel. The agent greets with a nonce; the session signs both nonces with
 * its own Ed25519 key, whose public half stands in the agent's spec. Until that is checked nothing but
 * one bounded HELLO is read.
 */
import type { KeyObject } from "node:crypto";
import { createPublicKey, randomBytes, sign, verify } from "node:crypto";
import type { Duplex } from "node:stream";
import type { AgentHello, SessionAbout, SessionHello } from "@inpod/protocol";
import {
  AGENT_FEATURES,
  decodeHeader,
  decodeJson,
  encodeJson,
  FrameType,
  HEADER_BYTES,
  PROTOCOL_VERSION,
  parseAgentHello,
  parseSessionHello,
  parseWireError,
  SESSION_FEATURES,
  sessionAbout,
} from "@inpod/protocol";
import { TunnelFailure } from "./failure.ts";

/** Of a session for its agent: a busy node takes seconds for what takes a millisecond elsewhere. */
export const AGENT_TIMEOUT_MS = 15_000;
/** Of an agent for whoever has connected: a stranger has a place for as long. */
const SESSION_TIMEOUT_MS = 10_000;
const NONCE_BYTES = 32;
/** DER of an Ed25519 SubjectPublicKeyInfo up to the raw key (RFC 8410). */
const ED25519_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/** @param raw 32 bytes in base64. @throws TypeError */
export function publicKeyFromRaw(raw: string): KeyObject {
  const bytes = Buffer.from(raw, "base64");
  if (bytes.length !== 32) throw new TypeError("an Ed25519 public key has 32 bytes");
  return createPublicKey({
    key: Buffer.concat([ED25519_PREFIX, bytes]),
    format: "der",
    type: "spki",
  });
}

export function rawFromPublicKey(key: KeyObject): string {
  return key
    .export({ format: "der", type: "spki" })
    .subarray(ED25519_PREFIX.length)
    .toString("base64");
}

function signedText(agent: AgentHello, session: Omit<SessionHello, "signature">): Buffer {
  return Buffer.from(
    `inpod-hello\n${session.version}\n${agent.nonce}\n${session.nonce}\n${session.sessionId}`,
  );
}

export interface SessionCredentials {
  readonly sessionId: string;
  readonly privateKey: KeyObject;
  readonly build: string;
  readonly about?: SessionAbout | undefined;
}

/**
 * What an agent says of itself to everybody. Ends the stream: who only looks is no session.
 * @throws TunnelFailure ETIMEDOUT, ECONNRESET; EPROTO for what is no agent
 */
export async function peekAgent(stream: Duplex): Promise<AgentHello> {
  try {
    return parseAgentHello(decodeJson((await readFrame(stream, AGENT_TIMEOUT_MS)).payload));
  } catch (error) {
    if (error instanceof TunnelFailure) throw error;
    throw new TunnelFailure("EPROTO", error instanceof Error ? error.message : String(error));
  } finally {
    stream.on("error", () => {});
    stream.destroy();
  }
}

/** @throws TunnelFailure EPROTONOSUPPORT for an agent of another version, EPROTO for what is no agent */
export async function greetAgent(
  stream: Duplex,
  { sessionId, privateKey, build, about }: SessionCredentials,
): Promise<AgentHello> {
  const frame = await readFrame(stream, AGENT_TIMEOUT_MS);
  const agent = parseAgentHello(decodeJson(frame.payload));
  const [oldest, newest] = agent.versions;
  if (PROTOCOL_VERSION < oldest || PROTOCOL_VERSION > newest) {
    throw new TunnelFailure(
      "EPROTONOSUPPORT",
      `the agent (${agent.build}) speaks protocol ${oldest} to ${newest}, this inpod (${build}) speaks ${PROTOCOL_VERSION}`,
    );
  }
  const hello = {
    role: "session",
    version: PROTOCOL_VERSION,
    build,
    sessionId,
    nonce: randomBytes(NONCE_BYTES).toString("base64"),
    features: SESSION_FEATURES,
    // An older agent passes over it.
    ...(about === undefined ? {} : { about: sessionAbout(about) }),
  } as const;
  const signature = sign(null, signedText(agent, hello), privateKey).toString("base64");
  stream.write(encodeJson(FrameType.hello, 0, { ...hello, signature }));
  return agent;
}

export interface AgentCredentials {
  /**
   * Whether the session may speak: it asks whether this or that public key (raw, base64) has signed the greeting,
   * and may wait for a key that is on its way, for seconds.
   */
  readonly authorize: (
    hello: SessionHello,
    isSignedBy: (publicKey: string) => boolean,
  ) => boolean | Promise<boolean>;
  readonly build: string;
  readonly sessionCount: () => number;
}

/** @throws TunnelFailure EACCES for a wrong key, EPROTONOSUPPORT, EPROTO; the peer has been told why */
export async function greetSession(
  stream: Duplex,
  { authorize, build, sessionCount }: AgentCredentials,
): Promise<SessionHello> {
  const agent: AgentHello = {
    role: "agent",
    versions: [PROTOCOL_VERSION, PROTOCOL_VERSION],
    build,
    nonce: randomBytes(NONCE_BYTES).toString("base64"),
    features: AGENT_FEATURES,
    sessions: sessionCount(),
  };
  stream.write(encodeJson(FrameType.hello, 0, agent));
  const frame = await readFrame(stream, SESSION_TIMEOUT_MS);
  const hello = parseSessionHello(decodeJson(frame.payload));
  const refuse = (errno: string, detail: string): TunnelFailure => {
    stream.end(encodeJson(FrameType.goaway, 0, { errno, detail }));
    stream.resume(); // a socket closed with unread bytes sends RST, which overtakes the reason
    return new TunnelFailure(errno, detail);
  };
  if (hello.version !== PROTOCOL_VERSION) {
    throw refuse("EPROTONOSUPPORT", `protocol ${PROTOCOL_VERSION} is wanted, not ${hello.version}`);
  }
  const text = signedText(agent, hello);
  const signature = Buffer.from(hello.signature, "base64");
  const isSignedBy = (raw: string): boolean => verify(null, text, publicKeyFromRaw(raw), signature);
  if (!(await authorize(hello, isSignedBy)))
    throw refuse("EACCES", "the session's key is not the one this agent was started for");
  return hello;
}

/** One HELLO; what follows it is put back into the stream. */
function readFrame(stream: Duplex, timeoutMs: number): Promise<{ payload: Uint8Array }> {
  return new Promise((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    const timer = setTimeout(
      () => finish(new TunnelFailure("ETIMEDOUT", `no greeting within ${timeoutMs / 1000} s`)),
      timeoutMs,
    );
    const finish = (result: Error | { payload: Uint8Array }): void => {
      clearTimeout(timer);
      stream.off("readable", onReadable);
      stream.off("end", onEnd);
      stream.off("close", onEnd);
      stream.off("error", onError);
      if (result instanceof Error) reject(result);
      else resolve(result);
    };
    const onEnd = (): void =>
      finish(new TunnelFailure("ECONNRESET", "the connection ended before the greeting"));
    const onError = (error: Error): void => finish(new TunnelFailure("ECONNRESET", error.message));
    const onReadable = (): void => {
      for (let chunk = stream.read(); chunk !== null; chunk = stream.read()) {
        received = Buffer.concat([received, chunk]);
        try {
          const complete = completeFrame(received);
          if (!complete) continue;
          const rest = received.subarray(complete.bytes);
          if (rest.length > 0) stream.unshift(rest);
          finish({ payload: complete.payload });
        } catch (error) {
          finish(
            error instanceof TunnelFailure
              ? error
              : new TunnelFailure("EPROTO", "the other end does not speak inpod's protocol"),
          );
        }
        return;
      }
    };
    stream.on("readable", onReadable);
    stream.on("end", onEnd);
    stream.on("close", onEnd);
    stream.on("error", onError);
  });
}

function completeFrame(
  received: Buffer,
): { readonly payload: Uint8Array; readonly bytes: number } | undefined {
  // The first byte already tells HTTP, TLS and noise from a frame.
  if (received.length > 0 && received[0] !== FrameType.hello && received[0] !== FrameType.goaway) {
    throw new TunnelFailure("EPROTO", "the other end does not speak inpod's protocol");
  }
  if (received.length < HEADER_BYTES) return undefined;
  const { type, length, id } = decodeHeader(received, 0);
  if (id !== 0) throw new TunnelFailure("EPROTO", "a greeting with a stream's number");
  const bytes = HEADER_BYTES + length;
  if (received.length < bytes) return undefined;
  const payload = received.subarray(HEADER_BYTES, bytes);
  if (type === FrameType.goaway) {
    const { errno, detail } = parseWireError(decodeJson(payload));
    throw new TunnelFailure(errno, detail);
  }
  return { payload, bytes };
}
