/** A session's way to its agent: one tunnel at a time, dialled again when it is lost. */
import type { Duplex } from "node:stream";
import type { CertificateText, PodPort, SessionAbout, SessionEvent } from "@inpod/protocol";
import type { Tunnel, TunnelHandlers } from "@inpod/tunnel";
import { connectTunnel, TunnelFailure } from "@inpod/tunnel";
import { dialled, pause } from "./dial.ts";
import type { SessionKey } from "./key.ts";
import type { ReadProbes } from "./probes.ts";

/** From the first byte of a dial until the agent has answered over the tunnel. */
const ATTEMPT_TIMEOUT_MS = 15_000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** A tunnel that lived shorter is not dialled again at once: an agent that drops each one would be asked without pause. */
const SHORT_LIFE_MS = 1000;
const DEFAULT_GRACE_MS = 60_000;
/** How long a call of the user's process waits for a tunnel that is being redialled. */
const REDIAL_PATIENCE_MS = 10_000;
/** The agent leaves a second for what is under way, once it has taken its rules away: on a busy node it took 1.9 s in all. */
const END_TIMEOUT_MS = 4000;
/** What another attempt does not change: the key, or the version. */
const FINAL = /^(EACCES|EPROTONOSUPPORT)$/;

/** How one agent is reached. */
export interface AgentAccess {
  /** `signal` is aborted until the tunnel stands, never later. */
  readonly dial: (signal: AbortSignal) => Promise<Duplex>;
  /** Why there is no agent any more. Resolves at most once. */
  readonly gone: Promise<string>;
}

export interface SessionOptions extends AgentAccess {
  readonly key: SessionKey;
  /**
   * Another agent in the place of one that is gone, or that could not be reached until the grace was over; it
   * takes the same key. Rejects when there is none to be had: then the session is lost. Undefined: there is one
   * agent in the life of a session. With `isLeft` the one before goes on with what it has, and is not to be removed yet.
   */
  readonly replace?: (why: string, signal: AbortSignal, isLeft: boolean) => Promise<AgentAccess>;
  /** Whether the target's connections from before to a port that is stolen are ended, so that their clients come again. */
  readonly flushConnections?: boolean;
  /** Whether responses of a port that is stolen say who answered. */
  readonly injectHeaders?: boolean;
  readonly build: string;
  /** What others are told of it (`inpod status`). */
  readonly about?: SessionAbout | undefined;
  /** With which its agent may end TLS on ports that it filters. */
  readonly certificates?: readonly CertificateText[];
  /** Ends the beginning of a session, and every later redial; end() is still to be called. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: SessionEvent) => void;
  /** How long a lost tunnel is redialled. */
  readonly graceMs?: number | undefined;
  /** What of the pod's ports is not to be had. Undefined: all of it is. */
  readonly probes?: ReadProbes | undefined;
  /**
   * Whether the agent of now is asked for a port; else somebody else has those of its target, or it is another one there,
   * and what is stolen and mirrored is only kept for the next agent. Undefined: always.
   */
  readonly takesPort?: (port: PodPort) => boolean;
}

export interface LinkParts {
  readonly handlers: TunnelHandlers;
  /**
   * Makes the agent know again what it forgot with the last tunnel. It asks at least once: an agent refuses a key
   * only after connectTunnel() has returned.
   * @returns the ports that are stolen
   */
  readonly restore: (tunnel: Tunnel) => Promise<readonly number[]>;
}

export class Link {
  readonly #options: SessionOptions;
  readonly #parts: LinkParts;
  #current: Tunnel | undefined;
  #agents = 0;
  /** Tunnels to agents that were left: what came through them goes on until they end. */
  readonly #left = new Set<Tunnel>();
  /** Another agent is looked for, while the tunnel of now goes on. */
  #leaving: { readonly onFound: () => void } | undefined;
  /** The tunnel that is being redialled. Rejects with ECONNRESET when there will be none. */
  #next: Promise<Tunnel> = failed("the session has not begun");
  #ending: Promise<number | undefined> | undefined;
  #agent: AgentAccess;
  /** Aborted when the agent of now is gone. */
  #agentGone = new AbortController();
  /** Aborted when nothing is to be dialled any more: by end(), by lose(), by the caller's signal. */
  readonly #stop = new AbortController();
  readonly #onAbort = (): void => this.#stop.abort(this.#options.signal.reason);
  /** Resolves with the reason when there will be no tunnel any more; never after end(). */
  readonly lost: Promise<string>;
  #resolveLost: (why: string) => void = () => {};

  constructor(options: SessionOptions, parts: LinkParts) {
    this.#options = options;
    this.#parts = parts;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    this.#agent = options;
    this.#use(options);
    if (options.signal.aborted) this.#onAbort();
    else options.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /** How many agents there have been, with that of now. */
  get agents(): number {
    return this.#agents;
  }

  /** Undefined while it is redialled. */
  get current(): Tunnel | undefined {
    return this.#current;
  }

  /**
   * The first tunnel, and what `ask` has learnt through it.
   * @throws what dial() rejects with, the signal's reason, a TunnelError. No tunnel is left open then.
   */
  async begin<T>(ask: (tunnel: Tunnel) => Promise<T>): Promise<T> {
    try {
      return await this.#attempt(ATTEMPT_TIMEOUT_MS, ask);
    } catch (error) {
      this.#next = failed(textOf(error));
      this.#close();
      throw error;
    }
  }

  /**
   * The tunnel, or the one that is being redialled, but not for ever.
   * @throws TunnelError ECONNRESET
   */
  async tunnel(): Promise<Tunnel> {
    if (this.#current) return this.#current;
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new TunnelFailure("ECONNRESET", "the tunnel is lost")),
        REDIAL_PATIENCE_MS,
      );
    });
    try {
      return await Promise.race([this.#next, deadline]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The tunnel, or the one that is being redialled, however long that takes. Rejects when there will be none. */
  async nextTunnel(): Promise<Tunnel> {
    return this.#current ?? this.#next;
  }

  /** For questions that may be asked twice: once more when the tunnel is lost before the answer. */
  async ask<T>(question: (tunnel: Tunnel) => Promise<T>): Promise<T> {
    const tunnel = await this.tunnel();
    try {
      return await question(tunnel);
    } catch (error) {
      if (!isLost(error)) throw error;
      // The tunnel tells its end right after it has rejected what was under way.
      await new Promise((resolve) => setImmediate(resolve));
      if (tunnel === this.#current) throw error;
      return question(await this.tunnel());
    }
  }

  /** There is nothing to come back to: as if the last agent were gone. */
  lose(why: string): void {
    this.#stop.abort(new TunnelFailure("ECONNRESET", why));
    this.#closeAll(why);
  }

  /** The agent is of no use any more: as if it were gone. */
  giveUpAgent(why: string): void {
    this.#agentGone.abort(new TunnelFailure("ECONNRESET", why));
    // Its silence would tell the same, after 25 s.
    if (!this.#ending) this.#current?.close(why);
  }

  /**
   * The next agent takes its place as soon as it answers. Until then all goes on with this one; what has come through it
   * by then goes on until it ends by itself.
   * @param onFound the next one is there, and is going to be dialled
   */
  leaveAgent(why: string, onFound: () => void): void {
    if (this.#ending || this.#leaving) return;
    if (!this.#current) {
      onFound();
      this.giveUpAgent(why);
      return;
    }
    this.#leaving = { onFound };
    this.#agentGone.abort(new TunnelFailure("ECONNRESET", why));
    this.#redialFrom(why, 0);
  }

  /** To agents that were left. */
  get left(): readonly Tunnel[] {
    return [...this.#left];
  }

  closeLeft(why: string): void {
    for (const tunnel of this.#left) tunnel.close(why);
  }

  #closeAll(why: string): void {
    this.#current?.close(why);
    this.closeLeft(why);
  }

  #use(agent: AgentAccess): void {
    this.#agents += 1;
    const gone = new AbortController();
    this.#agent = agent;
    this.#agentGone = gone;
    agent.gone.then(
      (why) => {
        if (this.#agentGone === gone) this.giveUpAgent(why);
      },
      () => {},
    );
  }

  /**
   * Tells the agent, for 4 s at most, and closes. Nothing is dialled any more.
   * @returns how many other sessions the agent has; undefined when it did not say
   */
  end(): Promise<number | undefined> {
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<number | undefined> {
    this.#close();
    const [answer] = await Promise.all(
      [this.#current, ...this.#left].map(async (tunnel) => {
        const said = tunnel?.call("end", {}, { timeoutMs: END_TIMEOUT_MS });
        const answered = await said?.catch(() => undefined);
        tunnel?.close("the session has ended");
        return answered;
      }),
    );
    return answer?.others;
  }

  #close(): void {
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#stop.abort(new TunnelFailure("ECANCELED", "the session has ended"));
  }

  /** Dials, greets and prepares; only a tunnel that came through all of it becomes the current one. */
  async #attempt<T>(timeoutMs: number, prepare: (tunnel: Tunnel) => Promise<T>): Promise<T> {
    const { key, build, about } = this.#options;
    const agent = this.#agent;
    const stops = [this.#stop.signal, this.#agentGone.signal];
    for (const stop of stops) stop.throwIfAborted();
    // Of its own and forgotten afterwards: a socket may obey its signal for as long as it lives.
    const attempt = new AbortController();
    const onStop = ({ target }: Event): void => attempt.abort((target as AbortSignal).reason);
    for (const stop of stops) stop.addEventListener("abort", onStop, { once: true });
    const timer = setTimeout(
      () => attempt.abort(new TunnelFailure("ETIMEDOUT", "the agent did not answer in time")),
      timeoutMs,
    );
    let tunnel: Tunnel | undefined;
    try {
      const stream = await dialled((signal) => agent.dial(signal), attempt.signal);
      tunnel = await connectTunnel(stream, {
        ...key,
        ...{ build, about, handlers: this.#parts.handlers },
      });
      const result = await prepare(tunnel);
      attempt.signal.throwIfAborted();
      this.#adopt(tunnel);
      return result;
    } catch (error) {
      tunnel?.close("the session cannot use it");
      const end = await tunnel?.closed;
      attempt.signal.throwIfAborted();
      if (end?.errno !== undefined) throw new TunnelFailure(end.errno, end.why);
      throw error;
    } finally {
      clearTimeout(timer);
      for (const stop of stops) stop.removeEventListener("abort", onStop);
    }
  }

  #adopt(tunnel: Tunnel): void {
    const sinceMs = performance.now();
    if (this.#current) this.#left.add(this.#current);
    this.#leaving = undefined;
    this.#current = tunnel;
    void tunnel.closed.then(({ why }) => {
      if (this.#left.delete(tunnel)) return;
      this.#current = undefined;
      if (this.#ending) {
        this.#next = failed("the session has ended");
        return;
      }
      const isShort = performance.now() - sinceMs < SHORT_LIFE_MS;
      this.#options.onEvent({ kind: "tunnel-lost", why });
      // Else the next one is already looked for.
      if (!this.#leaving) this.#redialFrom(why, isShort ? FIRST_BACKOFF_MS : 0);
    });
  }

  #redialFrom(why: string, firstPauseMs: number): void {
    this.#next = this.#redial(why, firstPauseMs).catch((error: unknown) => {
      const reason = textOf(error);
      this.#close();
      if (!this.#ending) {
        this.#closeAll(reason);
        this.#resolveLost(reason);
      }
      throw new TunnelFailure("ECONNRESET", reason);
    });
    this.#next.catch(() => {}); // whoever waits for it gets it too
  }

  /** The next tunnel: to the agent of before, or to another one. */
  async #redial(lostBecause: string, firstPauseMs: number): Promise<Tunnel> {
    const { replace, onEvent } = this.#options;
    let why = lostBecause;
    for (let pauseMs = firstPauseMs; ; pauseMs = 0) {
      try {
        return await this.#redialAgent(why, pauseMs);
      } catch (error) {
        const stop = this.#stop.signal;
        if (!replace || stop.aborted) throw error;
        why = textOf(error);
        onEvent({ kind: "agent-gone", why });
        const agent = await replace(why, stop, this.#leaving !== undefined);
        stop.throwIfAborted();
        this.#leaving?.onFound();
        this.#use(agent);
      }
    }
  }

  async #redialAgent(lostBecause: string, firstPauseMs: number): Promise<Tunnel> {
    const { graceMs = DEFAULT_GRACE_MS, onEvent } = this.#options;
    const stops = [this.#stop.signal, this.#agentGone.signal];
    const until = performance.now() + graceMs;
    let why = lostBecause;
    let backoffMs = FIRST_BACKOFF_MS;
    await pause(firstPauseMs, stops);
    for (let attempt = 1; ; attempt++) {
      for (const stop of stops) stop.throwIfAborted();
      const leftMs = until - performance.now();
      if (leftMs <= 0) throw new TunnelFailure("ETIMEDOUT", why);
      onEvent({ kind: "reconnecting", attempt, why });
      try {
        const ready = await this.#attempt(Math.min(leftMs, ATTEMPT_TIMEOUT_MS), async (tunnel) => ({
          tunnel,
          ports: await this.#parts.restore(tunnel),
        }));
        onEvent({ kind: "resumed", ports: ready.ports });
        return ready.tunnel;
      } catch (error) {
        if (error instanceof TunnelFailure && FINAL.test(error.errno)) throw error;
        why = textOf(error);
      }
      await pause(Math.min(backoffMs, Math.max(0, until - performance.now())), stops);
      backoffMs = Math.min(backoffMs * 2, MAX_BACKOFF_MS);
    }
  }
}

export const isLost = (error: unknown): boolean =>
  error instanceof TunnelFailure && error.errno === "ECONNRESET";

function failed(why: string): Promise<never> {
  const rejected = Promise.reject(new TunnelFailure("ECONNRESET", why));
  rejected.catch(() => {});
  return rejected;
}

export const textOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);
