/** One developer's session: what it asks, and what comes in for it. Outlives its tunnel for a while. */
import type { Socket } from "node:net";
import { FilterError, type FilterSpec, parseFilter } from "@inpod/http";
import type {
  AgentMethod,
  AgentStatus,
  CanaryWish,
  CertificateText,
  Endpoint,
  MirrorMissed,
  PodProbes,
  Policy,
  SessionAbout,
  SessionStatus,
  StreamHeader,
  TargetDescription,
  TlsFacts,
  TlsObstacle,
} from "@inpod/protocol";
import {
  type IncomingChannel,
  type OutgoingChannel,
  publicKeyFromRaw,
  type Tunnel,
  type TunnelHandlers,
} from "@inpod/tunnel";
import { Failure } from "../failure.ts";
import type { FileService, SessionFiles } from "../files/service.ts";
import type { Ports } from "../incoming/ports.ts";
import { gatewaysOf, KubeletProbes, type PortProbes } from "../incoming/probes.ts";
import { reset } from "../incoming/reset.ts";
import type { Holder } from "../incoming/stolen-port.ts";
import { ServerCertificate } from "../incoming/tls/certificates.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Mirror, Watcher } from "../mirror/mirror.ts";
import { Missed } from "../mirror/missed.ts";
import type { OwnEnds } from "../mirror/own-ends.ts";
import { endpoint, isDestination, openTcp, type Splice } from "../outgoing/tcp.ts";
import { openUdp } from "../outgoing/udp.ts";
import type { UnixSockets } from "../outgoing/unix.ts";
import { mayMirror, mayStealPort } from "../policy.ts";
import type { Target } from "../target.ts";
import type { Admission } from "./admission.ts";
import { SessionUdp, type UdpParts } from "./udp.ts";

/** Sockets of one session at a time, either way; Node's own floor of descriptors is far above. */
const MAX_SOCKETS = 4096;
/** Of one session. */
const MAX_CERTIFICATES = 32;
/** How long the session may take to say whether it takes a stolen connection. */
const INCOMING_TIMEOUT_MS = 30_000;

export interface SessionParts {
  readonly admission: Admission;
  readonly describe: () => Promise<TargetDescription>;
  readonly fileService: FileService;
  readonly ports: Ports;
  readonly mirror: Mirror;
  readonly udp: Pick<UdpParts, "ports" | "mirror">;
  readonly own: OwnEnds;
  readonly unixSockets: Pick<UnixSockets, "open">;
  readonly target: Pick<Target, "container" | "goneBecause">;
  readonly splice: Splice;
  readonly log: Log;
  readonly policy: Policy;
  readonly metrics: Metrics;
  /** How many sessions there are beside this one that have not ended. */
  readonly otherSessions: (session: Session) => number;
  readonly status: (asker: Session) => AgentStatus;
  /** @throws Failure ESRCH, EPERM, EOPNOTSUPP */
  readonly leave: (asker: Session, sessionId: string) => void;
}

export class Session implements Holder, Watcher {
  readonly id: string;
  readonly #parts: SessionParts;
  readonly #files: SessionFiles;
  readonly #since = new Date();
  readonly udp: SessionUdp;
  readonly #missed = new Missed((missed) => {
    this.tunnel?.notify({ kind: "mirror-missed", ...missed });
  });
  /** Undefined: it has not said, or takes them as well. */
  #probes: KubeletProbes | undefined;
  #socketCount = 0;
  #certificates: ServerCertificate[] = [];
  /** Ports, each with a reason. */
  readonly #toldOfTls = new Set<string>();
  /** Undefined while the tunnel is lost. */
  tunnel: Tunnel | undefined;
  /** What it said of itself when it came last. */
  about: SessionAbout | undefined;
  hasEnded = false;
  onEnded: (() => void) | undefined;

  constructor(id: string, parts: SessionParts) {
    this.id = id;
    this.#parts = parts;
    this.#files = parts.fileService.session();
    this.udp = new SessionUdp(id, {
      ...parts.udp,
      policy: parts.policy,
      metrics: parts.metrics,
      name: () => this.name,
      tunnel: () => this.tunnel,
    });
  }

  get name(): string {
    return this.#parts.admission.ownerOf(this.id) ?? `session ${this.id}`;
  }

  status(): SessionStatus {
    const { admission, ports, mirror } = this.#parts;
    return {
      sessionId: this.id,
      owner: admission.ownerOf(this.id) ?? "",
      sinceMs: this.#since.getTime(),
      isConnected: this.tunnel !== undefined,
      ports: [...ports.statusOf(this), ...mirror.statusOf(this), ...this.udp.status],
      ...(this.about === undefined ? {} : { about: this.about }),
    };
  }

  readonly handlers: TunnelHandlers = {
    onStream: (channel) => this.#open(channel, channel.header),
    onRequest: (method, params) => this.#answer(method, (params ?? {}) as Record<string, unknown>),
  };

  take(socket: Socket, port: number): void {
    if (!this.tunnel || !this.#count(socket)) {
      reset(socket);
      return;
    }
    this.#parts.metrics.stolen++;
    this.#parts.metrics.streams++;
    const channel = this.tunnel.open(incomingHeader(socket, port));
    const refuse = (): void => {
      reset(socket);
    };
    const timer = setTimeout(() => {
      channel.reset("ETIMEDOUT");
      refuse();
    }, INCOMING_TIMEOUT_MS);
    socket.once("close", () => {
      clearTimeout(timer);
    });
    channel.opened.then(() => {
      clearTimeout(timer);
      socket.resume();
    }, refuse);
    this.#parts.splice(socket, channel);
  }

  open(client: Socket, port: number, tls?: TlsFacts): OutgoingChannel | undefined {
    if (!this.tunnel || !this.#count(client)) return undefined;
    this.#parts.metrics.stolen++;
    this.#parts.metrics.streams++;
    return this.tunnel.open({
      ...incomingHeader(client, port),
      ...(tls === undefined ? {} : { tls }),
    });
  }

  certificates(port: number): readonly ServerCertificate[] {
    return this.#certificates.filter((one) => one.isFor(port));
  }

  tlsUntouched(port: number, why: TlsObstacle, detail: string): void {
    const key = `${port} ${why}`;
    if (this.#toldOfTls.has(key) || !this.tunnel?.peer.features.includes("tls")) return;
    this.#toldOfTls.add(key);
    this.tunnel.notify({ kind: "tls-untouched", port, why, detail });
  }

  /** @throws Failure EINVAL, E2BIG */
  #certificate(params: Record<string, unknown>): Record<string, never> {
    // Its parameters have been parsed.
    const given = new ServerCertificate(params as unknown as CertificateText);
    this.#certificates = this.#certificates.filter((one) => !given.replaces(one));
    if (this.#certificates.length >= MAX_CERTIFICATES)
      throw new Failure("E2BIG", `more than ${MAX_CERTIFICATES} certificates`);
    this.#certificates.push(given);
    return {};
  }

  probes(port: number): PortProbes | undefined {
    return this.#probes?.ofPort(port);
  }

  stealLost(port: number, detail: string): void {
    this.tunnel?.notify({ kind: "steal-lost", port, detail });
  }

  connectionsKept(port: number, detail: string): void {
    this.tunnel?.notify({ kind: "connections-kept", port, detail });
  }

  openCopy(client: Endpoint, local: Endpoint, needsAnswers: boolean): OutgoingChannel | undefined {
    if (!this.tunnel) return undefined;
    this.#parts.metrics.mirrored++;
    this.#parts.metrics.streams++;
    const header = { kind: "incoming", client, local } as const;
    const channel = this.tunnel.open(needsAnswers ? { ...header, needsAnswers } : header);
    // A refusal is a reset, too.
    channel.opened.catch(() => undefined);
    return channel;
  }

  missed(port: number, what: MirrorMissed["what"], count: number): void {
    this.#missed.add(port, what, count);
  }

  mirrorLost(port: number, detail: string): void {
    this.tunnel?.notify({ kind: "mirror-lost", port, detail });
  }

  /** False, and not counted: too many. */
  #count(socket: { once(event: "close", listener: () => void): unknown }): boolean {
    if (this.#socketCount >= MAX_SOCKETS) return false;
    this.#socketCount++;
    socket.once("close", () => {
      this.#socketCount--;
    });
    return true;
  }

  /** Its parameters have been parsed; a key that is none is found here. */
  #admit({ sessionId, publicKey, owner }: Record<string, unknown>): Record<string, never> {
    const raw = String(publicKey);
    try {
      publicKeyFromRaw(raw);
    } catch {
      throw new Failure("EINVAL", "no public key");
    }
    this.#parts.admission.admit(String(sessionId), { publicKey: raw, owner: String(owner) });
    this.#parts.log("admit", { session: String(sessionId), by: this.id, owner: String(owner) });
    return {};
  }

  #open(channel: IncomingChannel, header: StreamHeader): void {
    this.#parts.metrics.streams++;
    // Of a file, neither its name nor anything in it.
    const to = header.kind === "tcp" || header.kind === "udp" ? header : undefined;
    this.#parts.log("stream", {
      session: this.id,
      kind: header.kind,
      ...(to === undefined ? {} : { host: String(to.host), port: Number(to.port) }),
    });
    switch (header.kind) {
      case "tcp":
      case "udp":
        if (!isDestination(header)) channel.reset("EINVAL");
        else if (this.#socketCount >= MAX_SOCKETS) channel.reset("EMFILE");
        else if (header.kind === "udp") this.#count(openUdp(channel, header, this.#parts.own));
        else {
          const count = (socket: Socket): boolean => this.#count(socket);
          openTcp(channel, header, { splice: this.#parts.splice, own: this.#parts.own, count });
        }
        return;
      case "unix":
        if (this.#socketCount >= MAX_SOCKETS) channel.reset("EMFILE");
        else
          void this.#parts.unixSockets.open(channel, header, {
            splice: this.#parts.splice,
            count: (socket) => this.#count(socket),
          });
        return;
      case "files":
        void this.#files.open(channel);
        return;
      default:
        channel.reset("EINVAL");
    }
  }

  /** Nobody comes back for what it has open. */
  closeFiles(): void {
    this.#files.end();
  }

  async #answer(method: AgentMethod, params: Record<string, unknown>): Promise<unknown> {
    const { ports, mirror } = this.#parts;
    switch (method) {
      case "describe":
        return this.#parts.describe();
      case "incoming.steal":
        if (params.protocol === "udp")
          return this.udp.steal(parsePort(params.port), params.takesOver === true);
        mayStealPort(this.#parts.policy, params.filter !== undefined);
        await ports.steal(parsePort(params.port), this, {
          filter: filterOf(params.filter),
          flush: params.flush === true,
          takesOver: params.takesOver === true,
          injectHeaders: params.injectHeaders === true,
        });
        return {};
      case "incoming.certificate":
        return this.#certificate(params);
      case "incoming.mirror":
        if (params.protocol === "udp") return this.udp.watch(parsePort(params.port));
        mayMirror(this.#parts.policy);
        await mirror.watch(parsePort(params.port), this, filterOf(params.filter));
        return {};
      case "incoming.release":
        if (params.protocol === "udp") return this.udp.release(parsePort(params.port));
        await ports.release(parsePort(params.port), this);
        await mirror.unwatch(parsePort(params.port), this);
        return {};
      case "incoming.canary":
        return ports.canary.send(params as unknown as CanaryWish);
      case "incoming.probes":
        this.#probes = new KubeletProbes(params as unknown as PodProbes, gatewaysOf());
        ports.probesChanged(this);
        return {};
      case "pause":
        await ports.suspend(this, "paused");
        await mirror.suspend(this);
        await this.udp.suspend("paused");
        return {};
      case "resume":
        await ports.resume(this);
        await mirror.resume(this);
        await this.udp.resume();
        return {};
      case "target.container":
        await this.#parts.target.container(String(params.id));
        return {};
      case "status":
        return this.#parts.status(this);
      case "session.leave":
        this.#parts.leave(this, String(params.sessionId));
        return {};
      case "session.admit":
        return this.#admit(params);
      case "end":
        await ports.end(this, () => this.#parts.otherSessions(this) === 0);
        await mirror.unwatchAll(this);
        await this.udp.end("session ended");
        this.#missed.flush();
        this.#certificates = [];
        this.hasEnded = true;
        this.closeFiles();
        // After the answer is on its way.
        setImmediate(() => this.onEnded?.());
        return { others: this.#parts.otherSessions(this) };
      default:
        throw new Failure("ENOSYS", `${String(method)}: not known to this agent`);
    }
  }
}

/** Behind a redirect the socket's own port is the relay's. */
const incomingHeader = (socket: Socket, port: number): StreamHeader => ({
  kind: "incoming",
  client: endpoint(socket.remoteAddress, socket.remotePort),
  local: endpoint(socket.localAddress, port),
});

function filterOf(value: unknown): FilterSpec | undefined {
  if (value === undefined) return undefined;
  try {
    return parseFilter(value);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new Failure("EINVAL", `the filter: ${error.message}`);
  }
}

function parsePort(port: unknown): number {
  if (Number.isInteger(port) && (port as number) > 0 && (port as number) < 65536) {
    return port as number;
  }
  throw new Failure("EINVAL", "no port number");
}
