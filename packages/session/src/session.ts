/** The developer's end of a session: what it asks of its agent, and what it gets from there. */
import { setTimeout as delay } from "node:timers/promises";
import type {
  AgentNotice,
  AgentStatus,
  ByteString,
  CanaryResult,
  CanaryWish,
  PodPort,
  StreamOpened,
  TargetDescription,
} from "@inpod/protocol";
import { MAX_OWNER } from "@inpod/protocol";
import type { Channel, IncomingChannel, OutgoingChannel, Tunnel } from "@inpod/tunnel";
import { TunnelFailure } from "@inpod/tunnel";
import { FileService } from "./file-service.ts";
import { TargetFiles } from "./files.ts";
import { type FilesLink, filesLink } from "./files-link.ts";
import type { SessionOptions } from "./link.ts";
import { isLost, Link, textOf } from "./link.ts";
import { Lives } from "./lives.ts";
import { TargetNames } from "./names/target-names.ts";
import { ProbesTold } from "./probes.ts";
import {
  askFor,
  type OnConnection,
  podPort,
  type StealOptions,
  type Stolen,
  type Taken,
  TakenPorts,
  type TakeOptions,
} from "./taken.ts";

const DESCRIBE_TIMEOUT_MS = 10_000;
const PAUSE_TIMEOUT_MS = 2000;
/**
 * A pod that was deleted is gone for the cluster before its processes have ended: the agent in it, which nobody asks any more,
 * has the ports until then. A kubelet takes some seconds, and up to 30 with the grace of most pods.
 */
const FORMER_AGENT_MS = 40_000;
const ASK_AGAIN_MS = 500;
/** For the tunnel and a busy agent. */
const CANARY_MARGIN_MS = 2000;
/** Above the kernel's own 127 s (tcp_syn_retries 6): the target's verdict comes first. */
const CONNECT_TIMEOUT_MS = 130_000;

/** A port that another agent has. */
interface Waiting {
  /** To the agent that is asked for it. */
  readonly tunnel: Tunnel;
  /** By performance.now(): who has it then is not the agent from before. */
  readonly untilMs: number;
}

export interface ConnectedChannel {
  readonly channel: Channel;
  readonly opened: Extract<StreamOpened, { kind: "tcp" | "udp" }>;
}

/** @throws TunnelError: no agent, not ours (EACCES), or of another protocol (EPROTONOSUPPORT); whatever dial() rejects with */
export async function startSession(options: SessionOptions): Promise<Session> {
  const session = new Session(options);
  await session.begin();
  return session;
}

export class Session {
  readonly #options: SessionOptions;
  readonly #link: Link;
  #target: TargetDescription | undefined;
  readonly #taken = new TakenPorts();
  /** Which the agent of now has not got yet, because another one has them. */
  readonly #waiting = new Map<Taken, Waiting>();
  #agents = 1;
  readonly #probes: ProbesTold;
  #isPaused = false;
  readonly #lives: Lives;
  readonly files: TargetFiles;
  /** For who serves the target's files as a file system. */
  readonly filesLink: FilesLink;
  /** Names as the target resolves them: what connects from there by a name asks first. */
  readonly names: TargetNames;
  /** Resolves with the reason when there will be no tunnel any more; never when the session was ended by us. */
  readonly lost: Promise<string>;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#probes = new ProbesTold(options.probes);
    this.#link = new Link(options, {
      handlers: {
        onStream: (channel) => this.#incoming(channel),
        onNotice: (notice) => this.#noticed(notice),
      },
      restore: (tunnel) => this.#restore(tunnel),
    });
    const files = filesLink(() => this.#link.nextTunnel());
    this.filesLink = files;
    this.files = new TargetFiles(new FileService(this.filesLink));
    this.names = new TargetNames({
      readFile: async (path, limitBytes) =>
        (await this.files.read(path, limitBytes)).content.toString("latin1"),
      openUdp: (host, port) => this.openUdp(host, port),
      connectTcp: (host, port) => this.connectTcp(host, port),
    });
    this.#lives = new Lives({
      onNext: (changed) => {
        this.names.forget();
        options.onEvent({ kind: "target-back", changed });
      },
      onOther: (hostname, changed) => {
        files.leave();
        this.names.forget();
        options.onEvent({ kind: "target-moved", hostname, changed });
      },
    });
    this.lost = this.#link.lost;
  }

  get target(): TargetDescription {
    if (!this.#target) throw new Error("the session has not begun");
    return this.#target;
  }

  rttMs(): number | undefined {
    return this.#link.current?.rttMs();
  }

  /** Once. After a failure nothing is left open. */
  async begin(): Promise<void> {
    this.#target = await this.#link.begin(async (tunnel) => {
      await this.#giveCertificates(tunnel);
      return tunnel.call("describe", {}, { timeoutMs: DESCRIBE_TIMEOUT_MS });
    });
    this.#lives.begin(this.#target);
    this.#options.onEvent({ kind: "connected", rttMs: this.rttMs() });
  }

  /**
   * A TCP connection that leaves from the target. `host`: an IP literal.
   * @param fromPort the target's port that it leaves from, if it can be had
   * @throws TunnelError with the errno that connect(2) has in the target
   */
  async connectTcp(host: string, port: number, fromPort?: number): Promise<ConnectedChannel> {
    const channel = await this.openTcp(host, port, fromPort);
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
   * The same, and nobody waits for the target's verdict: what is written goes with the wish, and a connection that comes
   * to nothing is reset. The caller has the deadline.
   * @throws TunnelError when there is no tunnel
   */
  async openTcp(host: string, port: number, fromPort?: number): Promise<OutgoingChannel> {
    const header = { kind: "tcp", host, port } as const;
    const tunnel = await this.#link.tunnel();
    return tunnel.open(fromPort === undefined ? header : { ...header, fromPort });
  }

  /**
   * A connection to a unix socket of the target, and the name of its other end (what follows sun_family).
   * @throws TunnelError with the errno that connect(2) has in the target; EOPNOTSUPP when the agent is too old
   */
  async connectUnix(
    name: ByteString,
    wish: { readonly isAbstract: boolean; readonly waits: boolean; readonly isSeqpacket: boolean },
  ): Promise<{ channel: Channel; peer: Buffer }> {
    const tunnel = await this.#link.tunnel();
    const { isSeqpacket, ...wished } = wish;
    if (!tunnel.peer.features.includes(isSeqpacket ? "unix-seqpackets" : "unix-streams"))
      throw new TunnelFailure("EOPNOTSUPP", "this agent is too old for unix sockets");
    const bytes = Buffer.from(name, "latin1");
    const channel = tunnel.open({
      kind: "unix",
      name: bytes.toString("base64"),
      ...wished,
      ...(isSeqpacket ? { isSeqpacket } : {}),
    });
    const opened = await channel.opened;
    if (opened.kind !== "unix") throw new TunnelFailure("EPROTO", "not a unix socket");
    return { channel, peer: Buffer.from(opened.peer, "base64") };
  }

  /**
   * A connected UDP socket of the target; datagrams may be sent at once. While there is no tunnel they are
   * lost, as UDP may lose them.
   * @throws TunnelError when there is no tunnel
   */
  openUdp(host: string, port: number): OutgoingChannel {
    const tunnel = this.#link.current;
    if (!tunnel) throw new TunnelFailure("ENETUNREACH", "there is no tunnel now");
    return tunnel.open({ kind: "udp", host, port });
  }

  /**
   * From now on, and again after each redial, new connections to `port` of the target arrive here.
   * With a filter only the requests that match: each connection then carries those of one client. Of a UDP port each
   * client is a connection, of datagrams. With `takesOver` another session that holds the same loses it, and is told.
   *
   * @throws TunnelError: EADDRINUSE when another session holds the same, EPERM without the right, EOPNOTSUPP when
   *   the agent is too old for what is asked
   */
  steal(
    port: number,
    onConnection: OnConnection,
    { takesOver, ...options }: StealOptions = {},
  ): Promise<Stolen> {
    const flush = (this.#options.flushConnections ?? false) && options.protocol !== "udp";
    const injectHeaders = (this.#options.injectHeaders ?? false) && options.protocol !== "udp";
    const taken = { ...options, port, way: "steal", onConnection, flush, injectHeaders } as const;
    return this.#take(taken, takesOver);
  }

  /**
   * From now on, and again after each redial, what clients send to `port` of the target is copied here, of connections
   * that begin from now on, each from its first byte; with a filter only the requests that match. What is written to
   * such a channel goes nowhere, unless its header needs answers: then it is HTTP/2 of an own connection.
   * @throws TunnelError: EPERM without the right, EOPNOTSUPP when the agent is too old
   */
  mirror(port: number, onConnection: OnConnection, options: TakeOptions = {}): Promise<Stolen> {
    return this.#take({ ...options, port, way: "mirror", onConnection });
  }

  async #take(taken: Taken, takesOver = false): Promise<Stolen> {
    this.#taken.add(taken);
    const release = async (): Promise<void> => {
      if (!this.#taken.has(taken)) return;
      this.#taken.release(taken);
      for (const left of this.#link.left)
        left.call("incoming.release", podPort(taken)).catch(() => {});
      await this.#release(this.#link.current, podPort(taken));
    };
    if (!this.#takesPort(taken)) return { release };
    try {
      await this.#link.ask((tunnel) => this.#askFor(tunnel, taken, takesOver));
    } catch (error) {
      if (this.#taken.has(taken)) {
        if (isUnanswered(error)) {
          // The agent may have it all the same, and nobody here would take what comes.
          this.#taken.release(taken);
          this.#release(this.#link.current, podPort(taken)).catch(() => {});
        } else this.#taken.forget(taken);
      }
      throw error;
    }
    const kind = taken.way === "steal" ? "stolen" : "mirrored";
    this.#options.onEvent({ kind, ...podPort(taken) });
    return { release };
  }

  /** Whom the agent serves, and with what. @throws TunnelError, EOPNOTSUPP when the agent is too old */
  agentStatus(): Promise<AgentStatus> {
    return this.#link.ask((tunnel) => {
      if (!tunnel.peer.features.includes("status"))
        throw new TunnelFailure("EOPNOTSUPP", "this agent is too old to tell");
      return tunnel.call("status", {});
    });
  }

  /** Another session of the same owner is asked to end. @throws TunnelError ESRCH, EPERM, EOPNOTSUPP: it, or the agent, is too old */
  async askToLeave(sessionId: string): Promise<void> {
    await this.#link.ask((tunnel) => {
      if (!tunnel.peer.features.includes("leave"))
        throw new TunnelFailure("EOPNOTSUPP", "this agent is too old to ask it");
      return tunnel.call("session.leave", { sessionId });
    });
  }

  #takesPort = (taken: Taken): boolean => this.#options.takesPort?.(podPort(taken)) ?? true;

  /**
   * The target's container was started again, as this one: whoever follows the target tells. The agent is told
   * now, or by the next tunnel.
   * An agent that is in another network than this container, or cannot follow (an ephemeral container), is given
   * up as one that is gone.
   *
   * @throws TunnelError when the agent cannot follow: ESRCH, there is no such process
   */
  async targetContainer(id: string): Promise<void> {
    this.#lives.wanted = id;
    try {
      await this.#link.ask((tunnel) => this.#lives.follow(tunnel));
    } catch (error) {
      if (error instanceof TunnelFailure && /^(ESTALE|EPERM)$/.test(error.errno)) {
        this.#link.giveUpAgent(
          error.errno === "ESTALE"
            ? "the target's pod was set up anew, with another network"
            : "it cannot follow its target to another container",
        );
      } else if (!isLost(error)) throw error;
    }
  }

  /**
   * Another pod is going to be the target: the next agent is beside that pod.
   * @param goesOn what comes and has come from this one goes on as long as it can; else its agent is of no use any more
   */
  targetMoves(why: string, goesOn = false): void {
    if (goesOn) this.#link.leaveAgent(why, () => this.#lives.move());
    else {
      this.#lives.move();
      this.#link.giveUpAgent(why);
    }
  }

  /** The target is gone for good: the session is lost, with this reason. */
  lose(why: string): void {
    this.#link.lose(why);
  }

  /** Before this process is stopped (Ctrl-Z): the target gets its traffic back until resume(). */
  async pause(): Promise<void> {
    this.#isPaused = true;
    this.#link.closeLeft("this process is stopped");
    await this.#link.current?.call("pause", {}, { timeoutMs: PAUSE_TIMEOUT_MS });
  }

  async resume(): Promise<void> {
    this.#isPaused = false;
    await this.#link.ask((tunnel) => this.#restore(tunnel));
  }

  /**
   * Lets another session speak with the same agent, one that the cluster has shown to have the right.
   * @param publicKey Ed25519, raw, base64. @throws TunnelError EINVAL, ECONNRESET
   */
  async admit(sessionId: string, publicKey: string, owner: string): Promise<void> {
    const params = { sessionId, publicKey, owner: owner.slice(0, MAX_OWNER) };
    await this.#link.ask((tunnel) => tunnel.call("session.admit", params));
  }

  /**
   * Whether what is sent to a Service arrives at a port that this session has.
   * @returns undefined: this agent is too old. @throws TunnelError
   */
  async canary(wish: CanaryWish): Promise<CanaryResult | undefined> {
    const timeoutMs = wish.timeoutMs + CANARY_MARGIN_MS;
    return this.#link.ask(async (tunnel) =>
      tunnel.peer.features.includes("canary")
        ? tunnel.call("incoming.canary", wish, { timeoutMs })
        : undefined,
    );
  }

  /**
   * Everything of this session in the target is undone when it returns, or the agent was out of reach for 4 s.
   * @returns how many other sessions its agent has; undefined when it did not say
   */
  end(): Promise<number | undefined> {
    return this.#link.end();
  }

  /** @throws TunnelFailure EOPNOTSUPP, EINVAL, E2BIG */
  async #giveCertificates(tunnel: Tunnel): Promise<void> {
    const { certificates = [] } = this.#options;
    if (certificates.length > 0 && !tunnel.peer.features.includes("tls"))
      throw new TunnelFailure("EOPNOTSUPP", "this agent is too old to end TLS");
    for (const certificate of certificates) await tunnel.call("incoming.certificate", certificate);
  }

  #incoming(channel: IncomingChannel): void {
    const { header } = channel;
    const taken =
      header.kind === "incoming"
        ? this.#taken.of({ port: header.local.port, protocol: header.protocol })
        : undefined;
    if (header.kind !== "incoming" || !taken) {
      channel.reset("ECONNREFUSED");
      return;
    }
    channel.accept({ kind: "incoming" });
    taken.onConnection(channel, header);
  }

  #noticed(notice: AgentNotice): void {
    if (notice.kind === "steal-lost" || notice.kind === "mirror-lost") this.#taken.forget(notice);
    this.#options.onEvent(notice);
  }

  /**
   * An agent of the same session still holds its ports, without their rules; a new one knows nothing. While this
   * process is stopped there are no rules; resume() makes them.
   */
  async #restore(tunnel: Tunnel): Promise<readonly number[]> {
    await this.#lives.follow(tunnel).catch((error: unknown) => {
      if (isLost(error)) throw error; // what it refuses costs files, and nothing of what follows
    });
    await this.#giveCertificates(tunnel).catch((error: unknown) => {
      if (isLost(error)) throw error; // another agent may be an older one: it tells of TLS that it does not end
    });
    const isOther = this.#link.agents !== this.#agents;
    this.#agents = this.#link.agents;
    for (;;) {
      for (const port of this.#taken.released) await this.#release(tunnel, port).catch(() => {});
      const isPaused = this.#isPaused;
      const ours = this.#taken.all.filter(this.#takesPort);
      if (!isPaused) for (const taken of ours) await this.#takeAgain(tunnel, taken, isOther);
      try {
        await tunnel.call(isPaused ? "pause" : "resume", {});
      } catch (error) {
        if (isLost(error)) throw error; // each port has had its own answer; a refusal is one too
      }
      // Nothing of it changed while the agent was asked.
      if (isPaused === this.#isPaused && this.#taken.released.length === 0)
        return ours
          .filter((taken) => this.#taken.has(taken) && !this.#waiting.has(taken))
          .map(({ port }) => port);
    }
  }

  /** @param isOther this agent has not had it before */
  async #takeAgain(tunnel: Tunnel, taken: Taken, isOther: boolean): Promise<void> {
    if (!this.#taken.has(taken)) return; // released meanwhile
    const waited = this.#waiting.get(taken);
    try {
      await this.#askFor(tunnel, taken);
      this.#waiting.delete(taken);
      if (waited !== undefined) this.#options.onEvent({ kind: "steal-back", ...podPort(taken) });
    } catch (error) {
      if (isLost(error)) throw error;
      const now = performance.now();
      const untilMs = isOther ? now + FORMER_AGENT_MS : (waited?.untilMs ?? now);
      if (!isInUse(error) || untilMs <= now) {
        this.#waiting.delete(taken);
        this.#notTaken(taken, error);
        return;
      }
      const waiting = { tunnel, untilMs };
      this.#waiting.set(taken, waiting);
      if (waited === undefined) {
        const seconds = FORMER_AGENT_MS / 1000;
        const detail = textOf(error);
        this.#options.onEvent({ kind: "steal-waits", ...podPort(taken), detail, seconds });
      }
      void this.#takeLater(taken, waiting);
    }
  }

  /** Until the port is had, or somebody else has it for good; the next tunnel asks for itself. */
  async #takeLater(taken: Taken, waiting: Waiting): Promise<void> {
    for (;;) {
      await delay(ASK_AGAIN_MS, undefined, { ref: false });
      // A fleet may have given it to another of its targets.
      if (!this.#taken.has(taken) || !this.#takesPort(taken)) this.#waiting.delete(taken);
      // Whoever resumes asks, too.
      if (this.#waiting.get(taken) !== waiting || this.#isPaused) return;
      try {
        await this.#askFor(waiting.tunnel, taken);
        this.#waiting.delete(taken);
        this.#options.onEvent({ kind: "steal-back", ...podPort(taken) });
        return;
      } catch (error) {
        if (isLost(error)) return;
        if (isInUse(error) && performance.now() < waiting.untilMs) continue;
        this.#waiting.delete(taken);
        this.#notTaken(taken, error);
        return;
      }
    }
  }

  #notTaken(taken: Taken, error: unknown): void {
    this.#taken.forget(taken);
    this.#options.onEvent({ kind: `${taken.way}-lost`, ...podPort(taken), detail: textOf(error) });
  }

  async #askFor(tunnel: Tunnel, taken: Taken, takesOver = false): Promise<void> {
    if (!this.#probes.tell(tunnel)) this.#options.onEvent({ kind: "probes-taken" });
    await askFor(tunnel, taken, takesOver);
    if (!taken.flush || tunnel.peer.features.includes("flush")) return;
    const detail = "this agent is too old to take them over";
    this.#options.onEvent({ kind: "connections-kept", port: taken.port, detail });
  }

  /** What the agent does not answer to stays released, for the next tunnel. */
  async #release(tunnel: Tunnel | undefined, port: PodPort): Promise<void> {
    if (!tunnel) return;
    try {
      await tunnel.call("incoming.release", port);
    } catch (error) {
      if (isLost(error)) return;
      this.#taken.settle(port);
      throw error;
    }
    this.#taken.settle(port);
  }
}

const isUnanswered = (error: unknown): boolean =>
  isLost(error) || (error instanceof TunnelFailure && error.errno === "ETIMEDOUT");

const isInUse = (error: unknown): boolean =>
  error instanceof TunnelFailure && error.errno === "EADDRINUSE";
