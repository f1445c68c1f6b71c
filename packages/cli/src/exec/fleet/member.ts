/** One pod of a workload beside the target's own: an agent there, and a session that only takes its traffic. */
import { type CertificateText, type PodPort, type SessionAbout, UserError } from "@inpod/protocol";
import type { Session, SessionKey } from "@inpod/session";
import type { AgentOptions, PlacedAgent, Replica } from "@inpod/targets";
import { VERSION } from "../../version.ts";
import { Agents } from "../agents.ts";
import { SessionAudit } from "../audit.ts";
import { beginSession } from "../begin-session.ts";
import { missedLine } from "../follow.ts";
import { whyNotAllowed } from "../permission.ts";
import { portWords } from "./words.ts";

export interface MemberParts {
  /** The session's own: the pod's agent takes it, by another name. */
  readonly key: SessionKey;
  readonly agent: Pick<
    AgentOptions,
    "startupTimeoutMs" | "communicationTimeoutMs" | "idleTimeoutMs" | "resumeTimeoutMs"
  >;
  readonly flushConnections: boolean;
  readonly certificates: readonly CertificateText[];
  /** Whether the program gets the pod's probes on ports that it takes. */
  readonly probes: boolean;
  readonly mode: "steal" | "mirror";
  readonly hasFilter: boolean;
  /** As the session itself says. */
  readonly about?: SessionAbout | undefined;
  /** One line; it names the pod. */
  readonly say: (line: string) => void;
  /** Waits for its turn. @returns to be called when it has started */
  readonly turn: (signal: AbortSignal) => Promise<() => void>;
  readonly onPortLost: (port: PodPort) => void;
}

export class Member {
  readonly replica: Replica;
  readonly #parts: MemberParts;
  readonly #key: SessionKey;
  readonly #agents: Agents;
  readonly #stop = new AbortController();
  readonly #audit: SessionAudit;
  #ending: Promise<void> | undefined;
  #isAudited = false;
  #containerId: string;
  /** Its agent answers, or is being dialled again. */
  isUp = false;
  /** @throws UserError: why there is none */
  readonly session: Promise<Session>;
  /** Why it is of no use any more; never after end(). */
  readonly lost: Promise<string>;

  /** @param number of this session's members, to tell their agents apart */
  constructor(replica: Replica, number: number, parts: MemberParts) {
    const { key } = parts;
    this.replica = replica;
    this.#containerId = replica.containerId;
    this.#parts = parts;
    this.#key = { ...key, sessionId: `${key.sessionId}-r${number}` };
    this.#audit = new SessionAudit(replica, this.#key.sessionId, () => {}); // told for the target's own pod
    this.#agents = new Agents(
      replica,
      { ...parts.agent, publicKey: key.publicKey, sessionId: this.#key.sessionId },
      { say: (line) => this.#say(line.replace(/^inpod: /, "")), detail: () => {} },
    );
    this.session = this.#begin();
    this.lost = this.session.then(
      (session) => session.lost,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    );
  }

  get name(): string {
    return this.replica.name;
  }

  /** For another session of the same key, which must not remove it. Of an agent that is somebody else's: undefined. */
  agentForOthers(): PlacedAgent | undefined {
    const agent = this.#agents.living;
    if (!this.isUp || agent === undefined || agent.isJoined) return undefined;
    const { name, rung, gone } = agent;
    return {
      ...{ name, gone, ...(rung && { rung }) },
      dial: (signal) => agent.dial(signal),
      remove: async () => {},
    };
  }

  /** Its container was started again, perhaps: the agent is of no use where the pod has another network then. */
  async follow(containerId: string): Promise<void> {
    if (containerId === this.#containerId) return;
    this.#containerId = containerId;
    if (this.isUp) await (await this.session).targetContainer(containerId).catch(() => {});
  }

  /** @param before what must have ended before: who shares the agent */
  end(before?: Promise<unknown>): Promise<void> {
    this.#ending ??= this.#end(before);
    return this.#ending;
  }

  async #begin(): Promise<Session> {
    const { signal } = this.#stop;
    const done = await this.#parts.turn(signal);
    try {
      const why = whyNotAllowed(this.#parts, await this.replica.policy(signal));
      if (why !== undefined) throw new UserError("REPLICA_POLICY", why);
      const { session } = await beginSession(
        this.#agents,
        { begin: () => {} },
        {
          key: this.#key,
          replace: (why, stop) => this.#replace(why, stop),
          graceMs: this.#parts.agent.resumeTimeoutMs,
          flushConnections: this.#parts.flushConnections,
          certificates: this.#parts.certificates,
          probes: this.#parts.probes ? undefined : () => this.replica.probes(),
          build: VERSION,
          about: this.#parts.about,
          signal,
          onEvent: (event) => this.#onEvent(event),
        },
      );
      this.isUp = true;
      void session.lost.then(() => {
        this.isUp = false;
      });
      return session;
    } finally {
      done();
    }
  }

  #replace(why: string, stop: AbortSignal): Promise<PlacedAgent> {
    if (this.replica.state === "ending")
      return Promise.reject(new UserError("TARGET_GONE", `pod/${this.name} is being deleted`));
    return this.#agents.replace(why, stop);
  }

  async #end(before: Promise<unknown> | undefined): Promise<void> {
    this.#stop.abort(new Error("the session has ended"));
    const session = await this.session.catch(() => undefined);
    await before;
    const [others] = await Promise.all([
      session?.end(),
      this.#isAudited ? this.#audit.ended() : undefined,
    ]);
    await this.#agents.remove(others);
  }

  #onEvent(event: Parameters<Parameters<typeof beginSession>[2]["onEvent"]>[0]): void {
    switch (event.kind) {
      case "connected":
      case "resumed":
        this.#agents.hasTunnel(true);
        if (event.kind === "resumed") this.#say("the connection to its agent is back");
        return;
      case "tunnel-lost":
        this.#agents.hasTunnel(false);
        this.#say(
          `the connection to its agent is lost (${event.why}): it answers its own requests until it is back`,
        );
        return;
      case "stolen":
        this.#isAudited = true;
        this.#audit.took(event);
        return;
      case "mirrored":
        this.#isAudited = true;
        this.#audit.copies(event);
        return;
      case "steal-lost":
      case "mirror-lost":
        this.#say(
          `port ${portWords(event)} is no longer ${event.kind === "steal-lost" ? "taken" : "mirrored"}: ${event.detail}`,
        );
        this.#parts.onPortLost(event);
        return;
      case "steal-waits":
        this.#say(`port ${portWords(event)} is not taken yet: ${event.detail}`);
        return;
      case "steal-back":
        this.#say(`port ${portWords(event)} is taken again`);
        return;
      case "mirror-missed":
        this.#say(missedLine(event).replace(/^inpod: /, ""));
        return;
      // Its container's lives change nothing for who takes its traffic.
      case "reconnecting":
      case "agent-gone":
      case "target-gone":
      case "target-back":
      case "target-moved":
    }
  }

  /** What becomes of a pod that is going is no news. */
  #say(text: string): void {
    if (this.replica.state !== "ending" && this.#ending === undefined)
      this.#parts.say(`inpod: pod ${this.name}: ${text}`);
  }
}
