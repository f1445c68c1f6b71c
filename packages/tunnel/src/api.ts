/**
 * The tunnel as the session and the agent use it: many streams, datagrams and requests over one
 * byte stream. Both ends are alike, but for who says what first (see hello.ts).
 */
import type {
  AgentHello,
  AgentMethod,
  AgentMethods,
  AgentNotice,
  SessionHello,
  StreamHeader,
  StreamOpened,
} from "@inpod/protocol";

/** A failure the other end reported, or the tunnel's own end. `errno`: "ECONNREFUSED", "ENOENT", … */
export interface TunnelError extends Error {
  readonly errno: string;
}

/** One stream. Callbacks, not a node:stream: this is the hot path. Set them before returning to the event loop. */
export interface Channel {
  readonly id: number;
  readonly header: StreamHeader;
  /** False: stop until onDrain. The bytes are owned by the tunnel from here on. */
  write(bytes: Uint8Array): boolean;
  /** Written, and not yet taken by the link. */
  readonly queuedBytes: number;
  /** Ends our direction only (FIN). */
  end(): void;
  /** Ends both directions at once; queued bytes are dropped. */
  reset(errno: string): void;
  /** Gives back receive credit: call when the bytes of onData have been taken by their sink. */
  consumed(bytes: number): void;
  /** Drops and returns false when the link is congested, as UDP may. */
  datagram(bytes: Uint8Array): boolean;
  onData: ((bytes: Uint8Array) => void) | undefined;
  onDatagram: ((bytes: Uint8Array) => void) | undefined;
  onEnd: (() => void) | undefined;
  /** The other end reset the stream, or the tunnel was lost ("ECONNRESET"). Never after our own reset. */
  onReset: ((errno: string, detail: string) => void) | undefined;
  onDrain: (() => void) | undefined;
}

export interface OutgoingChannel extends Channel {
  /** The other end's OPENED, or a TunnelError. Data may be written before. */
  readonly opened: Promise<StreamOpened>;
}

export interface IncomingChannel extends Channel {
  /** Must be called once, or reset(). */
  accept(opened: StreamOpened): void;
}

export interface TunnelHandlers {
  onStream(channel: IncomingChannel): void;
  /** Agent's end: answers requests. A thrown TunnelError crosses with its errno; anything else as EIO. */
  onRequest?(method: AgentMethod, params: unknown): Promise<unknown>;
  /** Session's end. */
  onNotice?(notice: AgentNotice): void;
}

export interface Tunnel {
  readonly peer: AgentHello | SessionHello;
  open(header: StreamHeader): OutgoingChannel;
  /** Rejects with a TunnelError: the agent's errno, ETIMEDOUT after `timeoutMs`, ECONNRESET when the tunnel is lost. */
  call<M extends AgentMethod>(
    method: M,
    params: AgentMethods[M]["params"],
    options?: { timeoutMs?: number },
  ): Promise<AgentMethods[M]["result"]>;
  notify(notice: AgentNotice): void;
  /** Milliseconds, from PING; undefined before the first answer. */
  rttMs(): number | undefined;
  /** Says why (GOAWAY), flushes, closes. */
  close(reason: string): void;
  /**
   * Resolves when the tunnel has ended, whoever ended it. Never rejects. `errno`: what the other end's GOAWAY
   * named, as EACCES for a key that it does not take: an agent checks it only after our greeting has returned.
   */
  readonly closed: Promise<{
    readonly clean: boolean;
    readonly why: string;
    readonly errno?: string;
  }>;
}
