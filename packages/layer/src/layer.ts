/** Gives each trapped call to the part that knows it, and says why. */
import { readFileSync, readlinkSync } from "node:fs";
import { isIPv6 } from "node:net";
import type { Endpoint } from "@inpod/protocol";
import { errnoNumber } from "@inpod/protocol";
import type { IncomingSource, ResolverConfig, Session } from "@inpod/session";
import type { Tap, TapEvent, TrappedCall } from "@inpod/tap";
import { decodeAddress, PathOperation } from "@inpod/tap";
import type { LayerConfig, Reporter } from "./config.ts";
import { endpointText } from "./config.ts";
import { Decisions, OWN_PORT } from "./decisions.ts";
import type { PodRoot } from "./files/pod-root.ts";
import { refusedNotice } from "./files/refused.ts";
import { Files } from "./files/serve.ts";
import type { SnapshotServer } from "./files/snapshots/serve.ts";
import { Listeners } from "./incoming/listeners.ts";
import { bindNatively } from "./incoming/native-bind.ts";
import { UdpServers } from "./incoming/udp-servers.ts";
import { limitedNotice } from "./limited.ts";
import { Connections } from "./outgoing/connections.ts";
import { Datagrams } from "./outgoing/datagrams.ts";
import { DnsQuestions } from "./outgoing/dns-questions.ts";
import { Relay } from "./outgoing/relay.ts";
import { isOfTree, isTakenHere } from "./outgoing/udp-here.ts";
import { UnixStreams } from "./outgoing/unix.ts";
import { compileSkips } from "./rules/build-tools.ts";
import { debuggerPorts } from "./rules/debugger-ports.ts";
import { withProgram } from "./rules/more-facts.ts";
import type { PathFacts } from "./rules/path-rules.ts";
import { decideBelowPod, type PathDecision } from "./rules/paths.ts";
import { compilePolicy, type Policy, type WhosePath } from "./rules/policy.ts";
import { operationName, ruleAsked, toTapRules } from "./tap-rules.ts";
import { tracedSource } from "./trace-incoming.ts";

type PathCall = Extract<TrappedCall, { kind: "path" }>;
type ConnectCall = Extract<TrappedCall, { kind: "connect" }>;
type SendtoCall = Extract<TrappedCall, { kind: "sendto" }>;
type BindCall = Extract<TrappedCall, { kind: "bind" }>;

export interface LayerParts {
  readonly tap: Tap;
  readonly session: Session;
  /** Where ports are taken; undefined: by the session. */
  readonly incoming?: IncomingSource | undefined;
  readonly config: LayerConfig;
  readonly facts: PathFacts;
  /** The pod's resolv.conf. */
  readonly resolver: ResolverConfig;
  readonly reporter: Reporter;
  /** Who serves the pod's files: the tap, from the root of whoever has the file server, or snapshots. */
  readonly podFiles: PodRoot | SnapshotServer;
  /** By which the session's processes are known (hasMark). */
  readonly mark: string;
}

export class Layer {
  readonly #parts: LayerParts;
  #facts: PathFacts;
  #policy: Policy;
  /** An event may name a rule by its place in a list that was another one then. */
  #hasLearned = false;
  readonly #decisions: Decisions;
  readonly #relay: Relay;
  readonly #connections: Connections;
  readonly #unixStreams: UnixStreams;
  /** Where a filter says whose a name is. */
  readonly #questions: DnsQuestions | undefined;
  readonly #datagrams: Datagrams;
  readonly #listeners: Listeners;
  readonly #udpServers: UdpServers;
  readonly #files: Files;
  constructor(parts: LayerParts) {
    const { tap, session, config, facts, reporter } = parts;
    this.#parts = parts;
    this.#facts = facts;
    this.#policy = this.#compile();
    this.#decisions = new Decisions(tap, () => this.#policy, reporter);
    const { trace } = this.#decisions;
    this.#relay = new Relay(tap);
    this.#connections = new Connections(tap, session, this.#relay);
    this.#unixStreams = new UnixStreams(tap, session, {
      expressions: config.outgoing.unixStreams ?? [],
      decided: (call, decision) => this.#decisions.decided(call, decision),
    });
    const { nameservers } = parts.resolver;
    const { name: decide } = this.#policy;
    if (decide)
      this.#questions = new DnsQuestions({
        ...{ session, nameservers, decide },
        decided: (decision) => this.#decisions.name(decision),
      });
    this.#datagrams = new Datagrams(tap, session, this.#questions, this.#decisions.dns);
    const incoming = parts.incoming ?? session;
    const source = trace ? tracedSource(incoming, trace) : incoming;
    this.#listeners = new Listeners(tap, source, config.incoming, reporter);
    this.#udpServers = new UdpServers(tap, source, config.incoming, reporter);
    this.#files = new Files(tap, parts.podFiles);
  }

  /** Fills the tap's tables. Before the first process of the tree starts. */
  async start(): Promise<void> {
    const { tap, session, config } = this.#parts;
    await this.#relay.listen();
    tap.setPathRules(toTapRules(this.#policy.mapping, this.#policy.rules));
    this.#decisions.start();
    tap.setDestinations(this.#policy.destinations);
    tap.setSkips(compileSkips(config));
    tap.hideNscd(config.dns);
    if (config.hostname) tap.setHostname(session.target.hostname);
  }

  #compile(): Policy {
    const { config, resolver } = this.#parts;
    const names = (address: string) => this.#datagrams.namesOf(address);
    return compilePolicy({ config, facts: this.#facts, resolver, names });
  }

  /** Where things of a program are that somebody else has started, before it begins. */
  learn(program: PathFacts): void {
    const facts = withProgram(this.#facts, program);
    if (facts === this.#facts) return;
    this.#facts = facts;
    this.#hasLearned = true;
    this.#policy = this.#compile();
    this.#parts.tap.setPathRules(toTapRules(this.#policy.mapping, this.#policy.rules));
  }

  async close(): Promise<void> {
    this.#relay.close();
    this.#udpServers.close();
    this.#listeners.close();
    this.#questions?.close();
    await this.#datagrams.close();
    this.#decisions.close();
  }

  /** The tap's events. Whatever goes wrong with one call, it gets an answer. */
  handle(event: TapEvent): void {
    switch (event.kind) {
      case "path":
        this.#answer(event, this.#path(event));
        return;
      case "connect":
        this.#answer(event, this.#connect(event));
        return;
      case "sendto":
        this.#answer(event, this.#sendto(event));
        return;
      case "bind":
        this.#bind(event);
        return;
      case "listen":
        this.#answer(event, this.#listeners.listen(event));
        return;
      case "relayed":
        this.#decisions.trace?.answered(event.token, event.errno);
        this.#connections.relayed(event.token, event.port);
        return;
      case "accepted":
        this.#unixStreams.accepted(event.token, event.fd);
        return;
      case "decided":
        this.#decisions.byTap(event);
        return;
      case "decided-connect":
        this.#decisions.connectedByTap(event);
        return;
      case "program":
        this.#parts.reporter.program?.(event.tgid, event.executable);
        this.#decisions.program(event);
        return;
      case "limited":
        this.#parts.reporter.notice(limitedNotice(event));
        return;
      case "refused":
        this.#parts.reporter.notice(refusedNotice(event));
        return;
      case "end":
        return; // of a tree: whoever has begun with it waits for it
    }
  }

  #answer(call: TrappedCall, work: Promise<void>): void {
    work.catch((error: unknown) => {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
      this.#parts.reporter.notice({ key: `bug ${text}`, text: `bug in ${call.kind}: ${text}` });
      this.#parts.tap.reply(call.token, 0, errnoNumber("EIO"));
    });
  }

  async #path(call: PathCall): Promise<void> {
    const { tap } = this.#parts;
    const first = this.#whose(call, call, call.operation);
    // The other end of rename and link is a name that is made, whatever the first is.
    const second = call.second && this.#whose(call, call.second, PathOperation.write);
    const verdicts = [first, ...(second ? [second] : [])].map(({ decision }) => decision.verdict);
    if (second && !verdicts.includes("not-found") && verdicts[0] !== verdicts[1]) {
      tap.reply(call.token, 0, errnoNumber("EXDEV"));
      return;
    }
    if (verdicts.includes("not-found")) tap.reply(call.token, 0, errnoNumber("ENOENT"));
    else if (verdicts[0] === "local" && (first.isMapped || second?.isMapped)) {
      tap.serveLocal(call.token, first.path, second ? { second: second.path } : {});
    } else await this.#files.serve(call, first.path, first.decision, second?.path);
  }

  /** Whose a path of a call is. `path`: as it is there. */
  #whose(
    call: PathCall,
    asked: { readonly path: string; readonly rule: number; readonly isBelowRemote: boolean },
    operation: PathOperation,
  ): WhosePath {
    if (asked.isBelowRemote) {
      const from = asked.rule < 0 ? this.#policy.rules.length : this.#from(asked.rule);
      const decision = decideBelowPod(
        this.#policy.rules,
        asked.path,
        operationName(operation),
        from,
      );
      this.#pathDecided(call, asked.path, decision, operation);
      return { path: asked.path, decision, isMapped: false };
    }
    const from = this.#from(asked.rule);
    const whose = this.#policy.path(asked.path, operationName(operation), from);
    this.#pathDecided(call, whose.path, whose.decision, operation);
    return whose;
  }

  #from(rule: number): number {
    return this.#hasLearned ? 0 : ruleAsked(this.#policy.mapping, rule);
  }

  #pathDecided(
    call: PathCall,
    subject: string,
    { verdict, why, key }: PathDecision,
    operation: PathOperation,
  ): void {
    this.#decisions.decided(
      call,
      { call: call.call, subject, verdict, why, key },
      operationName(operation),
    );
  }

  async #connect(call: ConnectCall): Promise<void> {
    if (call.isUnix) return this.#unixStreams.connect(call);
    const to = decodeAddress(call.address);
    if (!to || to.port === 0) {
      this.#parts.tap.continue(call.token);
      return;
    }
    const protocol = call.isStream ? "tcp" : "udp";
    const isLoopback = isLoopbackAddress(to.address);
    const flowPort = call.isStream ? undefined : this.#udpServers.flowPort(call.cookie, to);
    if (flowPort !== undefined) {
      const why = "a client of the bound port";
      const decision = { call: "connect", verdict: "remote", why, key: undefined };
      this.#decisions.decided(call, { ...decision, subject: `udp ${endpointText(to)}` });
      this.#parts.tap.replyConnectedDatagram(call.token, flowPort);
      return;
    }
    const ours = call.isStream ? this.#listeners : this.#udpServers;
    // By the pod's own address its listener is the program, where that has the port.
    const isPods = this.#parts.session.target.addresses.includes(to.address) && call.isStream;
    const treePort = isLoopback || isPods ? ours.realPort(to.port) : undefined;
    if (treePort !== undefined) {
      const decision = { call: "connect", verdict: "local", why: OWN_PORT, key: undefined };
      this.#decisions.decided(call, { ...decision, subject: endpointText(to) });
      if (treePort === to.port && isLoopback) this.#parts.tap.continue(call.token);
      else if (!call.isStream) this.#parts.tap.replyConnectedDatagram(call.token, treePort);
      else this.#connections.connectToTree(call, treePort);
      return;
    }
    if (
      isLoopback &&
      !call.isStream &&
      (await isOfTree(loopbackOf(to), call.tgid, this.#parts.mark))
    ) {
      const decision = { call: "connect", verdict: "local", why: OWN_PORT, key: undefined };
      this.#decisions.decided(call, { ...decision, subject: `udp ${endpointText(to)}` });
      this.#udpServers.connected(call, to);
      this.#parts.tap.continue(call.token);
      return;
    }
    const decision = this.#policy.outgoing({ protocol, ...to });
    const { verdict } = decision;
    const subject = `${protocol} ${endpointText(to)}`;
    this.#decisions.decided(call, { call: "connect", subject, ...decision });
    if (!call.isStream) this.#udpServers.connected(call, to);
    if (verdict === "local") this.#parts.tap.continue(call.token);
    else if (!isLoopback && this.#isWithoutRoute(to)) this.#noRoute(call);
    else if (protocol === "tcp" && this.#questions?.isNameServer(to))
      this.#connections.connectToPort(call, await this.#questions.portFor(to), to);
    else if (protocol === "tcp") await this.#connections.connect(call, loopbackOf(to), isLoopback);
    else {
      const port = await this.#datagrams.portFor(call, loopbackOf(to), true);
      this.#parts.tap.replyConnectedDatagram(call.token, port);
    }
  }

  async #sendto(call: SendtoCall): Promise<void> {
    const to = decodeAddress(call.address);
    const flowPort = to && this.#udpServers.flowPort(call.cookie, to);
    if (flowPort !== undefined) {
      this.#parts.tap.replySentTo(call.token, flowPort);
      return;
    }
    if (to) await this.#udpServers.sending(call, to);
    // A client here that such a server answers may be any program of this machine.
    if (to && isLoopbackAddress(to.address) && (await this.#isHere(to))) {
      this.#parts.tap.continueHere(call.token);
      return;
    }
    const decision = to && this.#policy.outgoing({ protocol: "udp", ...to });
    if (!to || !decision || decision.verdict === "local") {
      this.#parts.tap.continue(call.token);
      return;
    }
    this.#decisions.decided(call, {
      call: "sendto",
      subject: `udp ${endpointText(to)}`,
      ...decision,
    });
    if (this.#isWithoutRoute(to)) {
      this.#noRoute(call);
      return;
    }
    const port = await this.#datagrams.portFor(call, loopbackOf(to), false);
    this.#parts.tap.replySentTo(call.token, port);
  }

  async #isHere(to: Endpoint): Promise<boolean> {
    return this.#udpServers.realPort(to.port) !== undefined || isTakenHere(loopbackOf(to));
  }

  /**
   * A pod without an address of IPv6 cannot reach any: its connect(2) says so at once, also on a socket that does not
   * wait, and of UDP, by which resolvers find out which of a name's addresses to try first (RFC 6724).
   */
  #isWithoutRoute(to: Endpoint): boolean {
    const { addresses } = this.#parts.session.target;
    return isIPv6(to.address) && addresses.length > 0 && !addresses.some((each) => isIPv6(each));
  }

  #noRoute(call: TrappedCall): void {
    this.#parts.tap.reply(call.token, 0, errnoNumber("ENETUNREACH"));
  }

  #bind(call: BindCall): void {
    const { tap } = this.#parts;
    const to = decodeAddress(call.address);
    if (!to) {
      tap.continue(call.token);
      return;
    }
    const decision = this.#policy.bind(to, debuggerPortsOf(call.tgid));
    const { verdict } = decision;
    const subject = `${call.isStream ? "" : "udp "}${endpointText(to)}`;
    this.#decisions.decided(call, { call: "bind", subject, ...decision });
    if (verdict === "native") bindNatively(this.#parts, call, to);
    else if (call.isStream) this.#listeners.bind(call);
    else this.#answer(call, this.#udpServers.bind(call));
  }
}

const isLoopbackAddress = (address: string): boolean =>
  address.startsWith("127.") || address === "0.0.0.0" || address === "::1" || address === "::";

/** connect(2) to the unspecified address means loopback. */
const loopbackOf = (to: Endpoint): Endpoint =>
  to.address === "0.0.0.0"
    ? { address: "127.0.0.1", port: to.port }
    : to.address === "::"
      ? { address: "::1", port: to.port }
      : { address: to.address, port: to.port };

/** Ports by which debuggers attach, named in the arguments and environment of a process. */
function debuggerPortsOf(tgid: number): readonly number[] {
  try {
    const argv = readFileSync(`/proc/${tgid}/cmdline`, "latin1").split("\0");
    const environment: Record<string, string> = {};
    for (const entry of readFileSync(`/proc/${tgid}/environ`, "latin1").split("\0")) {
      const at = entry.indexOf("=");
      if (at > 0) environment[entry.slice(0, at)] = entry.slice(at + 1);
    }
    return debuggerPorts(argv, environment, readlinkSync(`/proc/${tgid}/exe`));
  } catch {
    return []; // the process is gone, or not ours to read
  }
}
