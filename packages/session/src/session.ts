/** The developer's end of a session: one tunnel at a time, redialled when it is lost. */
import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type {
  AgentNotice,
  SessionEvent,
  StreamHeader,
  StreamOpened,
  TargetDescription,
} from "@inpod/protocol";
import type { Channel, IncomingChannel, OutgoingChannel, Tunnel } from "@inpod/tunnel";
import { connectTunnel, rawFromPublicKey, TunnelFailure } from "@inpod/tunnel";
import { SessionFiles } from "./files.ts";

const DIAL_TIMEOUT_MS = 10_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
const DEFAULT_GRACE_MS = 60_000;
/** How long a call of the user's process waits for a tunnel that is being redialled. */
const REDIAL_PATIENCE_MS = 10_000;
const END_TIMEOUT_MS = 2000;
/** Above the kernel's own 127 s (tcp_syn_retries 6): the target's verdict comes first. */
const CONNECT_TIMEOUT_MS = 130_000;

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

export interface SessionOptions {
  readonly key: SessionKey;
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  /** Why there is no agent any more. Resolves at most once. */
  readonly gone: Promise<string>;
  readonly build: string;
  readonly signal: AbortSignal;
  readonly onEvent: (event: SessionEvent) => void;
  /** How long a lost tunnel is redialled. */
  readonly graceMs?: number;
}

type IncomingHeader = Extract<StreamHeader, { kind: "incoming" }>;
export type OnConnection = (channel: Channel, header: IncomingHeader) => void;

/** A port that is stolen until it is released. */
export interface Stolen {
  release(): Promise<void>;
}

export interface ConnectedChannel {
  readonly channel: Channel;
  readonly opened: Extract<StreamOpened, { kind: "tcp" | "udp" }>;
}

/** @throws TunnelError: no agent, not ours, or of another protocol */
export async function startSession(options: SessionOptions): Promise<Session> {
  const session = new Session(options);
  try {
    await session.begin();
  } catch (error) {
    await session.end(); // else it would redial for a caller that has gone
    throw error;
  }
  return session;
}

export class Session {
  readonly #options: SessionOptions;
  #tunnel: Promise<Tunnel>;
  #current: Tunnel | undefined;
  #target: TargetDescription | undefined;
  readonly #steals = new Map<number, OnConnection>();
  #isPaused = false;
  #isOver = false;
  #isRedialling = false;
  /** Released while there was no tunnel: the agent is told when there is one again. */
  readonly #unreleased = new Set<number>();
  #goneWhy: string | undefined;
  readonly files: SessionFiles;
  /** Resolves with the reason when there will be no tunnel any more; never when the session was ended by us. */
  readonly lost: Promise<string>;
  #resolveLost: (why: string) => void = () => {};
  readonly #abort = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#tunnel = Promise.reject(new TunnelFailure("ENOTCONN", "not begun"));
    this.#tunnel.catch(() => {});
    this.files = new SessionFiles(() => this.#patiently());
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    options.gone.then(
      (why) => {
        this.#goneWhy = why;
      },
      () => {},
    );
  }

  get target(): TargetDescription {
    if (!this.#target) throw new Error("the session has not begun");
    return this.#target;
  }

  rttMs(): number | undefined {
    return this.#current?.rttMs();
  }

  async begin(): Promise<void> {
    this.#tunnel = this.#connect();
    const tunnel = await this.#tunnel;
    this.#target = await tunnel.call("describe", {}, { timeoutMs: DIAL_TIMEOUT_MS });
    this.#options.onEvent({ kind: "connected", rttMs: tunnel.rttMs() });
  }

  /**
   * A TCP connection that leaves from the target. `host`: an IP literal.
   * @throws TunnelError with the errno that connect(2) has in the target
   */
  async connectTcp(host: string, port: number): Promise<ConnectedChannel> {
    const channel = (await this.#patiently()).open({ kind: "tcp", host, port });
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        channel.reset("ETIMEDOUT");
        reject(new TunnelFailure("ETIMEDOUT", "no answer from the target"));
      }, CONNECT_TIMEOUT_MS);
    });
    try {
      const opened = await Promise.race([channel.opened, deadline]);
      if (opened.kind !== "tcp") throw new TunnelFailure("EPROTO", "not a connection");
      return { channel, opened };
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A connected UDP socket of the target; datagrams may be sent at once. While there is no tunnel they are
   * lost, as UDP may lose them.
   * @throws TunnelError when there is no tunnel
   */
  openUdp(host: string, port: number): OutgoingChannel {
    if (!this.#current) throw new TunnelFailure("ENETUNREACH", "the tunnel is being redialled");
    return this.#current.open({ kind: "udp", host, port });
  }

  /**
   * From now on, and again after each redial, new connections to `port` of the target arrive here.
   * @throws TunnelError: EADDRINUSE when another session holds the port, EPERM without the right
   */
  async steal(port: number, onConnection: OnConnection): Promise<Stolen> {
    this.#steals.set(port, onConnection);
    try {
      await (await this.#patiently()).call("incoming.steal", { port });
    } catch (error) {
      this.#steals.delete(port);
      // It may have been stolen all the same, by the lost tunnel or by the redial.
      if (error instanceof TunnelFailure && /^(ECONNRESET|ETIMEDOUT)$/.test(error.errno)) {
        await this.#release(port);
      }
      throw error;
    }
    return {
      release: async () => {
        if (this.#steals.delete(port)) await this.#release(port);
      },
    };
  }

  /** Without a tunnel the agent lets the port go by itself, or is told after the redial. */
  async #release(port: number): Promise<void> {
    this.#unreleased.add(port);
    try {
      await this.#current?.call("incoming.release", { port }, { timeoutMs: DIAL_TIMEOUT_MS });
      if (this.#current) this.#unreleased.delete(port);
    } catch (error) {
      if (!(error instanceof TunnelFailure && error.errno === "ECONNRESET")) throw error;
    }
  }

  /** Before this process is stopped (Ctrl-Z): the target gets its traffic back until resume(). */
  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#current?.call("pause", {}, { timeoutMs: END_TIMEOUT_MS });
  }

  async resume(): Promise<void> {
    this.#isPaused = false;
    await (await this.#patiently()).call("resume", {}, { timeoutMs: DIAL_TIMEOUT_MS });
  }

  /** Everything of this session in the target is undone when it returns, or the agent was out of reach for 2 s. */
  async end(): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#abort.abort();
    const tunnel = this.#current;
    if (!tunnel) return;
    await tunnel.call("end", {}, { timeoutMs: END_TIMEOUT_MS }).catch(() => {});
    tunnel.close("the session has ended");
  }

  /** The tunnel, or the one that is being dialled, but not for ever. */
  async #patiently(): Promise<Tunnel> {
    if (this.#current) return this.#current;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new TunnelFailure("ECONNRESET", "the tunnel is lost")),
        REDIAL_PATIENCE_MS,
      );
    });
    try {
      return await Promise.race([this.#tunnel, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #connect(): Promise<Tunnel> {
    const { key, build, dial, signal } = this.#options;
    const stream = await dial(
      AbortSignal.any([signal, this.#abort.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)]),
    );
    const tunnel = await connectTunnel(stream, {
      sessionId: key.sessionId,
      privateKey: key.privateKey,
      build,
      handlers: {
        onStream: (channel) => this.#incoming(channel),
        onNotice: (notice) => this.#noticed(notice),
      },
    });
    if (this.#isOver) {
      tunnel.close("the session has ended");
      throw new TunnelFailure("ECANCELED", "the session has ended");
    }
    this.#current = tunnel;
    void tunnel.closed.then(({ why }) => this.#disconnected(tunnel, why));
    return tunnel;
  }

  #incoming(channel: IncomingChannel): void {
    const { header } = channel;
    const onConnection = header.kind === "incoming" && this.#steals.get(header.local.port);
    if (header.kind !== "incoming" || !onConnection) {
      channel.reset("ECONNREFUSED");
      return;
    }
    channel.accept({ kind: "incoming" });
    onConnection(channel, header);
  }

  #noticed(notice: AgentNotice): void {
    if (notice.kind === "steal-lost") this.#steals.delete(notice.port);
    this.#options.onEvent(notice);
  }

  #disconnected(tunnel: Tunnel, why: string): void {
    if (this.#current !== tunnel) return;
    this.#current = undefined;
    this.files.forget();
    // A tunnel that is lost while it is being restored belongs to the redial that made it.
    if (this.#isOver || this.#isRedialling) return;
    this.#options.onEvent({ kind: "tunnel-lost", why });
    this.#isRedialling = true;
    this.#tunnel = this.#redial(why);
    this.#tunnel.catch((error: unknown) => {
      this.#isRedialling = false;
      if (!this.#isOver) this.#resolveLost(error instanceof Error ? error.message : String(error));
    });
  }

  async #redial(lostBecause: string): Promise<Tunnel> {
    const { graceMs = DEFAULT_GRACE_MS, onEvent } = this.#options;
    const until = performance.now() + graceMs;
    let why = lostBecause;
    for (let attempt = 1, backoff = FIRST_BACKOFF_MS; ; attempt++) {
      if (this.#goneWhy !== undefined) throw new TunnelFailure("ECONNRESET", this.#goneWhy);
      if (this.#isOver) throw new TunnelFailure("ECANCELED", "the session has ended");
      if (performance.now() >= until) throw new TunnelFailure("ETIMEDOUT", why);
      onEvent({ kind: "reconnecting", attempt, why });
      let tunnel: Tunnel | undefined;
      try {
        tunnel = await this.#connect();
        await this.#restore(tunnel);
        if (this.#current !== tunnel) throw new TunnelFailure("ECONNRESET", "lost again");
        this.#isRedialling = false;
        onEvent({ kind: "resumed", ports: [...this.#steals.keys()] });
        return tunnel;
      } catch (error) {
        if (tunnel && this.#current === tunnel) this.#current = undefined;
        tunnel?.close("it could not be restored");
        why = error instanceof Error ? error.message : String(error);
        // Another attempt changes nothing about a key or a version.
        if (error instanceof TunnelFailure && /^(EACCES|EPROTONOSUPPORT)$/.test(error.errno))
          throw error;
      }
      await Promise.race([pause(backoff, this.#abort.signal), this.#options.gone]);
      backoff = Math.min(backoff * 2, MAX_BACKOFF_MS);
    }
  }

  /** What the agent forgot with the old tunnel. */
  async #restore(tunnel: Tunnel): Promise<void> {
    for (const port of [...this.#steals.keys()]) {
      try {
        await tunnel.call("incoming.steal", { port });
      } catch (error) {
        if (error instanceof TunnelFailure && error.errno === "ECONNRESET") throw error;
        this.#steals.delete(port);
        const detail = error instanceof Error ? error.message : String(error);
        this.#options.onEvent({ kind: "steal-lost", port, detail });
      }
    }
    for (const port of [...this.#unreleased]) {
      if (!this.#steals.has(port)) await tunnel.call("incoming.release", { port });
      this.#unreleased.delete(port);
    }
    if (this.#isPaused) await tunnel.call("pause", {});
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
