/** An agent beside the target, a session with it, and both undone when what was to be done has been done. */
import { hostname } from "node:os";
import type { SessionEvent } from "@inpod/protocol";
import { type IncomingSource, newSessionKey, type Session, unlessAborted } from "@inpod/session";
import type { AgentRung, Target, TargetPath } from "@inpod/targets";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";
import { askedToLeave, openSessionDoor } from "../running/open.ts";
import { createAsk } from "../text/ask.ts";
import type { Progress } from "../text/progress.ts";
import { VERSION } from "../version.ts";
import { Agents } from "./agents.ts";
import { SessionAudit } from "./audit.ts";
import { beginSession } from "./begin-session.ts";
import { Canary, type CanarySession } from "./canary.ts";
import { Fleet, type FleetParts } from "./fleet/fleet.ts";
import { tellEvent } from "./follow.ts";
import { type OpenWish, openTarget } from "./open-target.ts";
import { checkPermission, whyNoMirror } from "./permission.ts";
import { loadCertificates } from "./tls.ts";

export interface SessionWish {
  readonly config: ResolvedConfig;
  readonly target: TargetPath;
  readonly verbose: boolean;
  /** `--yes` */
  readonly hasSaidYes: boolean;
  readonly io: Io;
  /** Whether the target's traffic is to be taken. */
  readonly steals: boolean;
  /** From how many pods of a workload incoming traffic is wanted. */
  readonly replicas: number;
  /** For the target's events, between the user's name and the target's. */
  readonly does: string;
  /** Also one pod is followed as one of a workload's: in the next one a port may have another number. */
  readonly isFleet?: boolean;
  /** Of what happens to the session; left out: in the words of `exec`. */
  readonly tell?: (event: SessionEvent) => void;
  /** For `inpod status` and `inpod leave`: the command that it is. Undefined: exec. */
  readonly mode?: string | undefined;
  /** What else others are told of it, in one line without secrets: "-L 5432:db:5432". */
  readonly detail?: string | undefined;
  readonly open?: Omit<OpenWish, "wantsReplicas">;
  /** Called with the target that was found, before anybody is asked and anything is made: what it throws is the end. */
  readonly look?: (target: Target, signal: AbortSignal) => Promise<void>;
}

export interface PlacedSession {
  readonly session: Session;
  /** The session's, or where the target has several pods, that of all. */
  readonly incoming: IncomingSource & Pick<Session, "pause" | "resume">;
  readonly sessionId: string;
  readonly target: Target;
  readonly rung: AgentRung | undefined;
}

/**
 * @param signal ends the beginning; what `use` does then is its own
 * @throws UserError, the signal's reason, what `use` throws; all is undone then too
 */
export async function withSession<Result>(
  wish: SessionWish,
  progress: Progress,
  signal: AbortSignal,
  use: (placed: PlacedSession) => Promise<Result>,
): Promise<Result> {
  const { config, target: path, verbose, hasSaidYes, io, steals, replicas, does, tell } = wish;
  const hasFleet = replicas > 1 || wish.isFleet;
  const key = newSessionKey();
  progress.begin(`finding ${config.target}`);
  const opening = openTarget(path, config, signal, { ...wish.open, wantsReplicas: hasFleet });
  const { target, contextName, close } = await unlessAborted(opening, signal, (it) => it.close());
  const { mode = "exec", detail } = wish;
  const named = config.target ?? target.name;
  const about = { mode, target: named, machine: hostname(), detail };
  const place = contextName === undefined ? undefined : { config, context: contextName };
  const door = openSessionDoor(key.sessionId, { mode, target: named, pod: target.name }, place, io);
  try {
    if (target.why !== undefined) {
      if (verbose) progress.say(`inpod: target ${target.why}`);
      else progress.detail(target.why);
    }
    if (wish.look) await unlessAborted(wish.look(target, signal), signal);
    const confirm = createAsk(io, signal);
    const hasFilter = config.layer.incoming.httpFilter !== undefined;
    await checkPermission({
      steals,
      hasFilter,
      target: target.name,
      policy: target.policy,
      contextName,
      protectedContexts: config.protectedContexts,
      hasSaidYes,
      confirm,
    });
    const certificates = steals
      ? await unlessAborted(
          loadCertificates(config.tls.certificates, target, io.directory, signal),
          signal,
        )
      : [];
    const audit = new SessionAudit(target, key.sessionId, (line) => progress.say(line));
    progress.begin(`starting an agent beside ${target.name}`);
    const { startupTimeoutMs, communicationTimeoutMs, idleTimeoutMs, resumeTimeoutMs } =
      config.agent;
    const agent = { startupTimeoutMs, communicationTimeoutMs, idleTimeoutMs, resumeTimeoutMs };
    const fleet = fleetOf(target, replicas, {
      key,
      agent,
      flushConnections: config.agent.flushConnections,
      certificates,
      probes: config.probes,
      mode: steals ? "steal" : "mirror",
      hasFilter,
      about,
      say: (line) => progress.say(line),
      log: (line) => {
        if (verbose) progress.say(line);
      },
    });
    const agents = new Agents(
      target,
      {
        ...agent,
        publicKey: key.publicKey,
        sessionId: key.sessionId,
        heldBeside: (id) => fleet?.heldBeside(id),
        confirm,
        onNotice: (line) => progress.say(`inpod: ${line}`),
      },
      progress,
    );
    const canary = new Canary({
      services: config.canary ? target.services : undefined,
      keepsProbes: steals && !config.probes,
      say: (line) => progress.say(`inpod: ${line}`),
      detail: (line) => verbose && progress.say(`inpod: ${line}`),
    });
    let current: CanarySession | undefined;
    let others: number | undefined;
    let over: () => void = () => {};
    const own = new Promise<void>((resolve) => {
      over = resolve;
    });
    try {
      const beginning = beginSession(agents, progress, {
        key,
        replace: (...args) => agents.replace(...args),
        graceMs: resumeTimeoutMs,
        flushConnections: config.agent.flushConnections,
        certificates,
        injectHeaders: config.agent.injectHeaders,
        build: VERSION,
        about,
        signal,
        probes: config.probes ? undefined : () => target.probes?.(),
        takesPort: (port) => fleet?.ownTakes(port) ?? true,
        onEvent: (event) => {
          if (event.kind === "connected" || event.kind === "resumed") agents.hasTunnel(true);
          if (event.kind === "tunnel-lost") agents.hasTunnel(false);
          if (event.kind === "steal-lost" || event.kind === "mirror-lost") fleet?.ownLost(event);
          if (event.kind === "stolen") canary.took(event, "steal", () => current);
          if (event.kind === "mirrored") canary.took(event, "mirror", () => current);
          if (event.kind === "leave-asked") askedToLeave(event.detail, progress);
          if (event.kind === "stolen") audit.took(event);
          else if (event.kind === "mirrored") audit.copies(event);
          else if (tell !== undefined) tell(event);
          else tellEvent(event, progress);
          if (event.kind === "resumed") fleet?.reconcile();
        },
      });
      fleet?.begin(
        beginning.then(({ agent: { rung }, session }) => {
          // What the Service leads to is all pods' traffic.
          if (rung?.kind === "relay") fleet.standAside();
          return session;
        }),
      );
      const { agent: placed, session } = await beginning;
      current = fleet ?? session;
      audit.started(`${does} ${target.name}`);
      const incoming = fleet ?? session;
      try {
        return await use({
          ...{ session, incoming, sessionId: key.sessionId, target },
          rung: placed.rung,
        });
      } finally {
        canary.end();
        const ending = session.end();
        void ending.finally(over);
        // At once: each agent leaves what is under way its time, and meanwhile new connections are to reach every pod.
        fleet?.end(own).catch(() => {}); // waited for below
        [others] = await Promise.all([ending, audit.ended()]);
      }
    } finally {
      over();
      await Promise.all([fleet?.end(own), agents.remove(others)]);
    }
  } finally {
    door.close();
    close();
  }
}

/** Undefined: there is one pod, and nobody to begin with others. */
const fleetOf = (
  { replicas, policy }: Target,
  limit: number,
  parts: Omit<FleetParts, "replicas" | "limit">,
): Fleet | undefined =>
  replicas && (parts.mode === "steal" || whyNoMirror(policy) === undefined)
    ? new Fleet({ ...parts, replicas, limit })
    : undefined;
