/** All sessions of this agent, and how long it lives without any. */
import type { AgentStatus } from "@inpod/protocol";
import type { Tunnel } from "@inpod/tunnel";
import { Failure } from "../failure.ts";
import { Session, type SessionParts } from "./session.ts";

/** A session redials for a minute (session/src/link.ts). Its ports are kept for it, without their rules. */
export const RESUME_TIMEOUT_MS = 60_000;
/** For the session's own close after `end`; it normally comes first. */
const END_TIMEOUT_MS = 1000;
/** Where the target has ended for good there is nothing to come back to. */
const TARGET_GONE_GRACE_MS = 10_000;
const MAX_SESSIONS = 64;

export interface Lifetime {
  /** From the start until the first session. */
  readonly communicationTimeoutMs: number;
  /** Without any session, after the first one. */
  readonly idleTimeoutMs: number;
  /** A session whose tunnel was lost may come back for so long; the agent waits for it. */
  readonly resumeTimeoutMs: number;
}

type Shared = Omit<SessionParts, "otherSessions" | "status" | "leave">;

export class Sessions {
  readonly #parts: Shared;
  readonly #lifetime: Lifetime;
  readonly #finish: (why: string) => void;
  readonly #sessions = new Map<string, Session>();
  readonly #forgetting = new Map<Session, NodeJS.Timeout>();
  #idle: NodeJS.Timeout | undefined;

  /** @param finish called once: this agent has nothing more to do */
  constructor(parts: Shared, lifetime: Lifetime, finish: (why: string) => void) {
    this.#parts = parts;
    this.#lifetime = lifetime;
    this.#finish = finish;
    this.#waitForSession(lifetime.communicationTimeoutMs, "no session came");
  }

  /** Those included whose tunnel was lost and which may come back. */
  get count(): number {
    return this.#sessions.size;
  }

  /** Undefined: too many sessions. Call attach() as soon as its handlers have a tunnel. */
  find(id: string): Session | undefined {
    const known = this.#sessions.get(id);
    if (known && !known.hasEnded) return known;
    if (this.#sessions.size >= MAX_SESSIONS) return undefined;
    const session = new Session(id, {
      ...this.#parts,
      otherSessions: (one) =>
        [...this.#sessions.values()].filter((each) => each !== one && !each.hasEnded).length,
      status: (asker) => this.#status(asker),
      leave: (asker, id) => this.#leave(asker, id),
    });
    this.#sessions.set(id, session);
    return session;
  }

  attach(session: Session, tunnel: Tunnel): void {
    clearTimeout(this.#idle);
    clearTimeout(this.#forgetting.get(session));
    this.#forgetting.delete(session);
    // The session redialled before we noticed that its old tunnel is dead.
    const previous = session.tunnel;
    session.tunnel = tunnel;
    previous?.close("replaced by a new tunnel of the same session");
    this.#parts.log("session", {
      session: session.id,
      owner: this.#parts.admission.ownerOf(session.id) ?? "",
      isResumed: previous !== undefined,
    });
    session.onEnded = () => closeAfterEnd(tunnel);
    const gone = this.#parts.target.goneBecause;
    if (gone) tunnel.notify({ kind: "target-gone", detail: gone.detail });
    void tunnel.closed.then(({ why }) => {
      if (session.tunnel === tunnel) this.#lost(session, why);
    });
  }

  /** The target says so of itself (goneBecause). Without its container a pod is still there, and so are we. */
  targetGone(): void {
    const gone = this.#parts.target.goneBecause;
    if (!gone) return;
    for (const { tunnel } of this.#sessions.values()) {
      tunnel?.notify({ kind: "target-gone", detail: gone.detail });
    }
    if (!this.#hasTunnel() && gone.isFinal) {
      this.#waitForSession(TARGET_GONE_GRACE_MS, "the target is gone");
    }
  }

  /** Says goodbye to every session. */
  close(why: string): void {
    for (const { tunnel } of this.#sessions.values()) tunnel?.close(why);
  }

  #status(asker: Session): AgentStatus {
    const all = [...this.#sessions.values()].filter(({ hasEnded }) => !hasEnded);
    return {
      // Who has no port and asks has come to ask.
      sessions: all
        .map((session) => ({ session, status: session.status() }))
        .filter(({ session, status }) => session !== asker || status.ports.length > 0)
        .map(({ status }) => status),
      passed: this.#parts.ports.passedStatus(),
    };
  }

  /** Who may remove the agent's Job could end all of its sessions: this is the narrower door. */
  #leave(asker: Session, id: string): void {
    const { admission, log } = this.#parts;
    const session = this.#sessions.get(id);
    if (!session || session.hasEnded) throw new Failure("ESRCH", `no session ${id}`);
    const owner = admission.ownerOf(id) ?? "";
    if (owner === "" || owner !== admission.ownerOf(asker.id))
      throw new Failure("EPERM", "it is another's session");
    const { tunnel } = session;
    if (tunnel && !tunnel.peer.features.includes("leave"))
      throw new Failure("EOPNOTSUPP", "its inpod is too old to be asked");
    log("leave", { session: id, by: asker.id, isConnected: tunnel !== undefined });
    const from = asker.about === undefined ? "" : `from ${asker.about.machine}`;
    if (tunnel) tunnel.notify({ kind: "leave-asked", detail: from });
    else this.#forget(session);
  }

  #hasTunnel(): boolean {
    return [...this.#sessions.values()].some((session) => session.tunnel);
  }

  #waitForSession(timeoutMs: number, why: string): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#finish(why), timeoutMs);
  }

  #lost(session: Session, why: string): void {
    session.tunnel = undefined;
    this.#parts.log("tunnel-closed", { session: session.id, hasEnded: session.hasEnded, why });
    if (session.hasEnded) {
      this.#forget(session);
      if (this.#sessions.size === 0) this.#finish("the last session has ended");
    } else {
      // At once: behind a rule without a tunnel every new connection would wait for nobody.
      this.#untilDone("suspend-failed", [
        this.#parts.ports.suspend(session, "tunnel lost"),
        this.#parts.mirror.suspend(session),
        session.udp.suspend("tunnel lost"),
      ]);
      const timer = setTimeout(() => this.#forget(session), this.#lifetime.resumeTimeoutMs);
      this.#forgetting.set(session, timer.unref());
    }
    if (!this.#hasTunnel()) this.#waitForSession(this.#graceMs(), "no session any more");
  }

  /** Somebody who is coming back must find us, whatever is the time without a session. */
  #graceMs(): number {
    if (this.#parts.target.goneBecause?.isFinal) return TARGET_GONE_GRACE_MS;
    const { idleTimeoutMs, resumeTimeoutMs } = this.#lifetime;
    return this.#sessions.size > 0 ? Math.max(idleTimeoutMs, resumeTimeoutMs) : idleTimeoutMs;
  }

  #forget(session: Session): void {
    clearTimeout(this.#forgetting.get(session));
    this.#forgetting.delete(session);
    if (this.#sessions.get(session.id) === session) this.#sessions.delete(session.id);
    session.closeFiles();
    this.#untilDone("release-failed", [
      this.#parts.ports.releaseAll(session, "session forgotten"),
      this.#parts.mirror.unwatchAll(session),
      session.udp.end("session forgotten"),
    ]);
  }

  /** Nobody waits for it; what fails is logged. */
  #untilDone(event: string, all: readonly Promise<void>[]): void {
    for (const each of all)
      each.catch((error: Error) => this.#parts.log(event, { why: error.message }));
  }
}

function closeAfterEnd(tunnel: Tunnel): void {
  const timer = setTimeout(() => tunnel.close("the session has ended"), END_TIMEOUT_MS);
  void tunnel.closed.then(() => clearTimeout(timer));
}
