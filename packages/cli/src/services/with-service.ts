/**
 * What every service mode is: a session beside a target whose local end is a port, that lasts until somebody ends it.
 *
 * A command (`exchange/run.ts`, and so `mesh`, `mirror`, `forward`, `dump`, `preview`) calls
 *
 *     runService({ args, io, target, question, steals, does }, async ({ target, signal }) => {
 *       const ports = await meantPorts(target, wishes, signal);  // what can be refused is refused here, without an agent
 *       return async (place) => {
 *         await place.incoming.steal(80, exposed.onConnection);  // or session.connectTcp(), mirror(), …
 *         return { ready: ["what is sent to … arrives at …"] };
 *       };
 *     });
 *
 * and gets progress, signals, the agent, the pods of a workload, following restarts and rollouts, and the end. `up` starts a
 * process for each session.
 *
 * How it ends: SIGINT, SIGTERM and SIGHUP end a session that stands cleanly and with code 0, since they are the only way to
 * end it; one that is not ready yet ends by the signal, as `exec` does. A session that is lost throws SESSION_LOST, code 5.
 * Ctrl-Z gives the target its traffic back until the process is continued.
 */
import { UserError } from "@inpod/protocol";
import { tuneForRelaying, unlessAborted } from "@inpod/session";
import type { PublishWish, Target } from "@inpod/targets";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolve.ts";
import { followTarget } from "../exec/follow.ts";
import { rungLine } from "../exec/rung.ts";
import type { Signals } from "../exec/signals.ts";
import { stoppable } from "../exec/stoppable.ts";
import { type PlacedSession, withSession } from "../exec/with-session.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { Progress } from "../text/progress.ts";
import type { ServiceArguments } from "./arguments.ts";
import { pauseWhileStopped } from "./stopped.ts";
import { serviceTarget } from "./target.ts";
import { tellServiceEvent } from "./tell.ts";

export interface ServiceWish {
  /** Its kind is what the session is called in `inpod status`. */
  readonly args: ServiceArguments & { readonly kind: string };
  readonly io: Io;
  /** The command line's; undefined: the configuration's. */
  readonly target: string | undefined;
  /** Of who gave none: "whose traffic is wanted?" */
  readonly question: string;
  /** Whether the target's traffic is taken, and so whether that is allowed is looked at. */
  readonly steals: boolean;
  /** Something of what is sent to the target is wanted: a pod of our own, to which nobody sends, is none. */
  readonly needsTraffic?: boolean;
  /** For the target's events, between the user's name and the target's: "exchanges". */
  readonly does: string;
  /** What others are told of it beside its ports (`inpod status`), in one line without secrets: "-L 5432:db:5432". */
  readonly detail?: string | undefined;
  /** What the command's flags say beyond the configuration. */
  readonly adjust?: (config: ResolvedConfig) => ResolvedConfig;
  /** A Service that is to lead here, of a session without a target. */
  readonly publishes?: PublishWish;
}

export interface ServicePlace extends PlacedSession {
  readonly config: ResolvedConfig;
  /** The target as it was wished: "service/web". */
  readonly wished: string;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted when the session is to end. */
  readonly signal: AbortSignal;
  /** One line for people; `inpod: ` is put before it. */
  say(line: string): void;
  /** The same, of --verbose. */
  log(line: string): void;
}

/** What is known before there is an agent. */
export interface FoundPlace {
  readonly target: Target;
  readonly config: ResolvedConfig;
  readonly signal: AbortSignal;
}

/** The command's own part: what can be refused without an agent is refused at once, and the session is for what it returns. */
export type Service = (found: FoundPlace) => Promise<(place: ServicePlace) => Promise<Serving>>;

/** What stands now, until the session ends. */
export interface Serving {
  /** Lines for people: what goes where. */
  readonly ready: readonly string[];
  /** Why it does not stand any more; the session ends then. */
  readonly lost?: Promise<string>;
  /** Nobody wants it any more: the session ends as by Ctrl-C. */
  readonly over?: Promise<void>;
  /** Before this process is stopped (Ctrl-Z), and after it was. */
  pause?(): Promise<void>;
  resume?(): Promise<void>;
  /** Ends the local ends, before the session. What comes in ends with it: requests that are under way are answered. */
  close?(): void | Promise<void>;
}

interface Talk {
  readonly progress: Progress;
  readonly signals: Signals;
}

/** @throws UserError */
export function runService(wish: ServiceWish, service: Service): Promise<CommandResult> {
  tuneForRelaying({ mayGrow: true });
  return stoppable(wish.io, async (progress, signals) => {
    await withService(wish, { progress, signals }, service);
    return { code: 0 };
  });
}

/**
 * Lasts until a signal comes.
 * @throws UserError SESSION_LOST among others; the signal's reason, when it came before the session stood
 */
async function withService(
  wish: ServiceWish,
  { progress, signals }: Talk,
  service: Service,
): Promise<void> {
  const { signal } = signals;
  const { args, io, target: operand, question, steals, does } = wish;
  const { publishes, adjust = (same) => same } = wish;
  const { flags, isFileWanted, isVerbose, hasSaidYes } = args;
  const { env, directory } = io;
  const all = Number.POSITIVE_INFINITY;
  const config = adjust(loadConfig({ flags, env, directory, isFileWanted, replicas: all }));
  const verbose = isVerbose || env.INPOD_LOG === "debug";
  const say = (line: string): void => progress.say(`inpod: ${line}`);
  const log = verbose ? say : (): void => {};
  for (const { path, why } of config.ignoredKeys) log(`"${path}" has no effect: ${why}`);
  const { text: wished, path } = serviceTarget(operand, config.target, question);
  if (path.kind === "targetless") {
    if (wish.needsTraffic) throw nobodysTraffic(args.kind);
    if (flags.ephemeral === true) throw nobodysContainer();
  }
  const { replicas } = config;
  let serve: Awaited<ReturnType<Service>>;
  await withSession(
    {
      config: { ...config, target: publishes ? `service/${publishes.name}` : wished },
      target: path,
      ...{ verbose, hasSaidYes, io, steals, replicas, does },
      ...{ mode: args.kind, detail: wish.detail },
      isFleet: true,
      tell: (event) => tellServiceEvent(event, progress),
      open: { publishes, relay: steals ? relayOf(config) : undefined },
      look: async (target, looking) => {
        serve = await service({ target, config, signal: looking });
      },
    },
    progress,
    signal,
    async (placed) => {
      const { session, target, rung, incoming } = placed;
      const following = new AbortController();
      void followTarget(target, session, progress, following.signal);
      const line = rungLine(rung, session.target.missing);
      let serving: Serving | undefined;
      try {
        // An agent that does not answer is asked for half a minute.
        const beginning = serve({ ...placed, config, wished, env, signal, say, log });
        serving = await unlessAborted(beginning, signal, (late) => late.close?.());
        signals.hasBegun();
        progress.done();
        if (line !== undefined) log(line);
        const stopPausing = pauseWhileStopped([incoming, serving]);
        for (const ready of serving.ready) say(ready);
        say("until Ctrl-C");
        const lost = serving.lost ?? new Promise<never>(() => {});
        const over = serving.over?.then(() => undefined) ?? lost;
        const all = [aborted(signal), session.lost, lost, over];
        const why = await Promise.race(all).finally(stopPausing);
        if (why !== undefined) throw sessionLost(why);
      } finally {
        following.abort();
        await serving?.close?.();
      }
    },
  );
}

const relayOf = ({ agent: { relayPod } }: ResolvedConfig) => ({
  when: relayPod.mode,
  isUnattended: relayPod.isUnattended,
});

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    else signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });

const nobodysTraffic = (command: string): UserError =>
  new UserError("TARGET_MISSING", "nobody sends anything to a pod of inpod's own (targetless)", {
    hints: [
      `name a Service, workload or pod: inpod ${command} orders, deployment/orders`,
      "for a Service that nobody has yet: inpod preview NAME --expose PORT",
    ],
  });

const nobodysContainer = (): UserError =>
  new UserError("USAGE_INVALID", "-e: without a target there is no pod to put a container into", {
    hints: ["leave it out: the agent has a pod of its own", "or name a target: -t pod/NAME"],
  });

const sessionLost = (why: string): UserError =>
  new UserError("SESSION_LOST", `the session was lost: ${why}`, {
    hints: ["the target answers its clients again; begin anew when it is reachable"],
  });
