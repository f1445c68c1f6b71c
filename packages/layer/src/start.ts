/** A command in the place of the target: the tap, the layer's decisions, and the tree of processes they are for. */
import type { ChildProcess } from "node:child_process";
import { readlinkSync } from "node:fs";
import type { ByteString } from "@inpod/protocol";
import { UserError } from "@inpod/protocol";
import {
  type IncomingSource,
  parseResolvConf,
  type ResolverConfig,
  type Session,
  unlessAborted,
} from "@inpod/session";
import type { FilterGroup, Program, TapEvent } from "@inpod/tap";
import { GroupHelper, keepPaths, LaunchError, launch, Programs, Tap, TapError } from "@inpod/tap";
import type { LayerConfig, Reporter } from "./config.ts";
import type { PodRoot } from "./files/pod-root.ts";
import { type SnapshotParts, SnapshotServer } from "./files/snapshots/serve.ts";
import { Layer } from "./layer.ts";
import { checkTap, tapRefused } from "./machine.ts";
import { OwnChildren } from "./own-children.ts";
import { checkPlatform } from "./platform.ts";
import { gatherFacts, thisMachine } from "./rules/facts.ts";
import { bytesToText } from "./rules/match.ts";
import type { PathFacts } from "./rules/path-rules.ts";
import { isPutToSleep } from "./sleep.ts";

const MAX_RESOLV_CONF = 64 * 1024;

/** What programs in the place of the target have in common. */
export interface PlaceOptions {
  readonly session: Session;
  /** Where ports are taken; undefined: by the session. */
  readonly incoming?: IncomingSource | undefined;
  readonly config: LayerConfig;
  /** Absolute path of the command; of programs that others start it is known only when they come. */
  readonly executable: string;
  /** All of the process's variables, INPOD_SESSION among them. */
  readonly environment: Readonly<Record<ByteString, ByteString>>;
  readonly cwd: string;
  readonly reporter: Reporter;
  /** Where the target's container has volumes, if its spec is known: those trees are the target's. */
  readonly volumeMounts: readonly string[];
  /**
   * Whoever has the file server, which has given the tap its remote root. Undefined: the pod's files are snapshots, because
   * nothing can be mounted or hardly any is wanted.
   */
  readonly podRoot?: PodRoot | undefined;
  /** When this process is killed: "stop" (left out, too) ends the tree, "continue" lets it go on natively. */
  readonly onDeath?: "stop" | "continue";
  /** Ends what is waited for before a program may come, also an agent that does not answer; its reason is thrown. */
  readonly signal?: AbortSignal;
}

export interface StartOptions extends PlaceOptions {
  readonly command: readonly [string, ...string[]];
}

export interface ServeOptions extends PlaceOptions {
  /** Of the socket by which programs come: ../../tap/src/programs.ts. */
  readonly socketPath: string;
  readonly onProgram?: (program: Program) => void;
  readonly onRefused?: (pid: number, why: string) => void;
}

/** Programs that others start. */
export interface Served {
  readonly running: readonly Program[];
  /** Nobody comes in any more. */
  shut(): void;
  /** What runs goes on natively after our end. */
  leaveRest(): void;
  close(): Promise<void>;
}

export interface RunningTree {
  /** The command itself. */
  readonly child: ChildProcess;
  /** No process of the tree is left. */
  readonly ended: Promise<void>;
  /** What is left of the tree goes on natively after our end. */
  leaveRest(): void;
  /** Whether our whole process group has got the signal since this was asked last, and so the command, if it is in it. */
  groupGot(signal: NodeJS.Signals): Promise<boolean>;
  /** Stops this process, because the command is stopped; resolves when one of the two has been continued, and so both. */
  suspend(): Promise<void>;
  close(): Promise<void>;
}

/** The parts that need no agent; made early, so that a machine that refuses is known before anything else. */
export class PreparedTap {
  readonly tap: Tap;
  readonly #children = new OwnChildren();
  #handle: (event: TapEvent) => void = () => {};

  /** @throws UserError when this machine cannot */
  constructor() {
    checkPlatform();
    this.tap = new Tap((event) => this.#handle(event));
    checkTap(this.tap);
    this.tap.native.adoptOrphans();
    this.tap.native.ignoreBackgroundWrites();
  }

  start(options: StartOptions): Promise<RunningTree> {
    return this.#withFiles(options, (podFiles) => this.#start(options, podFiles));
  }

  serve(options: ServeOptions): Promise<Served> {
    return this.#withFiles(options, (podFiles) => this.#serve(options, podFiles));
  }

  async #withFiles<Result>(
    { session, reporter, podRoot }: PlaceOptions,
    begin: (podFiles: PodRoot | SnapshotServer) => Promise<Result>,
  ): Promise<Result> {
    const podFiles = podRoot ?? snapshotServer({ tap: this.tap, files: session.files, reporter });
    try {
      return await begin(podFiles);
    } catch (error) {
      if ("serve" in podFiles) podFiles.close();
      if (error instanceof TapError) throw tapRefused(error);
      throw error instanceof LaunchError ? commandNotStarted(error) : error;
    }
  }

  /** The tap's events are the layer's from now on. */
  async #layer(options: PlaceOptions, podFiles: PodRoot | SnapshotServer): Promise<Layer> {
    const { session, config, reporter, environment, executable, signal } = options;
    const resolver = podResolver(session, config);
    const layer = new Layer({
      tap: this.tap,
      session,
      incoming: options.incoming,
      config,
      facts: {
        ...gatherFacts(thisMachine({ env: textOf(environment), cwd: options.cwd, executable })),
        volumeMounts: config.files.autoMount ? options.volumeMounts : [],
      },
      resolver: await (signal ? unlessAborted(resolver, signal) : resolver),
      reporter,
      podFiles,
      mark: markOf(environment),
    });
    this.#handle = (event) => layer.handle(event);
    await layer.start();
    if (signal?.aborted) {
      await layer.close();
      throw signal.reason;
    }
    return layer;
  }

  async #serve(options: ServeOptions, podFiles: PodRoot | SnapshotServer): Promise<Served> {
    const { config, environment, onProgram, onRefused } = options;
    const layer = await this.#layer(options, podFiles);
    const mark = markOf(environment);
    const folder = "serve" in podFiles ? keepPaths(mark, [podFiles.folder]) : undefined;
    const programs = new Programs(this.tap, {
      path: options.socketPath,
      groups: groupsOf(config),
      mark,
      onDeath: options.onDeath ?? "stop",
      admit: ({ pid }) => {
        const facts = factsOfProgram(pid, textOf(environment));
        if (facts !== undefined) layer.learn(facts);
      },
      ...(onProgram ? { onBegin: onProgram } : {}),
      onRefused: ({ pid }, why) => onRefused?.(pid, why),
    });
    const stopReaping = this.#reapOrphans();
    return {
      get running() {
        return programs.running;
      },
      shut: () => programs.shut(),
      leaveRest: () => programs.leaveRest(),
      close: async () => {
        programs.shut();
        stopReaping();
        await layer.close();
        if ("serve" in podFiles) podFiles.close();
        folder?.dismiss();
      },
    };
  }

  async #start(options: StartOptions, podFiles: PodRoot | SnapshotServer): Promise<RunningTree> {
    const { config, environment, executable, command } = options;
    const layer = await this.#layer(options, podFiles);
    // Before the command: a signal of its terminal that stops the whole group would stop what we have just forked as
    // well, and libuv waits for that to execute something.
    const group = new GroupHelper();
    const tree = await launch(this.tap, {
      command: [executable, ...command.slice(1)],
      argv0: command[0],
      environment,
      groups: groupsOf(config),
      mark: markOf(environment),
      onDeath: options.onDeath ?? "stop",
      cwd: options.cwd,
      ...("serve" in podFiles ? { folder: podFiles.folder } : {}),
    }).catch((error: unknown) => {
      group.close();
      throw error;
    });
    const stopReaping = this.#reapOrphans();
    return {
      child: tree.child,
      ended: tree.ended,
      leaveRest: () => tree.leaveRest(),
      groupGot: (signal) => group.saw(signal),
      suspend: () => group.suspendWith(tree.child),
      close: async () => {
        stopReaping();
        group.close();
        await layer.close();
        if ("serve" in podFiles) podFiles.close();
      },
    };
  }

  /**
   * Orphans of the tree become our children; libuv waits only for those that it started. One of those that we took
   * from it would never end for who started it: a login program in the middle of a session, another agent.
   */
  #reapOrphans(): () => void {
    const reap = (): void => {
      while (this.tap.native.reapOrphan(this.#children.pids()) > 0);
    };
    process.on("SIGCHLD", reap);
    this.tap.native.ignoreStops();
    // A zombie of libuv's can stand before an orphan's; it is gone a moment later.
    const timer = setInterval(reap, 1000);
    timer.unref();
    return () => {
      process.off("SIGCHLD", reap);
      clearInterval(timer);
      this.#children.close();
    };
  }
}

const groupsOf = ({ hostname, ipv6 }: LayerConfig): FilterGroup[] => [
  ...(["network", "files"] as const),
  ...(ipv6 ? [] : (["noIPv6"] as const)),
  ...(hostname ? (["hostname"] as const) : []),
  ...(isPutToSleep() ? (["interruptible"] as const) : []),
];

/** Undefined: it has gone, or is not ours to look at. */
function factsOfProgram(pid: number, env: Record<string, string>): PathFacts | undefined {
  try {
    const [cwd, executable] = ["cwd", "exe"].map((name) => readlinkSync(`/proc/${pid}/${name}`));
    if (cwd === undefined || executable === undefined) return undefined;
    return gatherFacts(thisMachine({ env, cwd, executable }));
  } catch {
    return undefined;
  }
}

function snapshotServer(parts: SnapshotParts): SnapshotServer {
  try {
    return new SnapshotServer(parts);
  } catch (error) {
    throw new UserError("FILES_NO_PLACE", "there is no directory for files of the pod", {
      cause: error,
      hints: ["name one that you may write to: TMPDIR=/path"],
    });
  }
}

/** For what looks at this machine by JavaScript's strings. */
/** By which the session's processes are known. */
const markOf = ({ INPOD_SESSION }: StartOptions["environment"]): ByteString =>
  `INPOD_SESSION=${INPOD_SESSION}`;

const textOf = (environment: StartOptions["environment"]): Record<string, string> =>
  Object.fromEntries(Object.entries(environment).map((entry) => entry.map(bytesToText)));

/** What the pod's resolver asks. Without a file of its own it asks itself, as resolv.conf(5) says. */
async function podResolver(session: Session, config: LayerConfig): Promise<ResolverConfig> {
  if (!config.dns) return { nameservers: [], searchDomains: [] };
  try {
    const { content } = await session.files.read("/etc/resolv.conf", MAX_RESOLV_CONF);
    return parseResolvConf(content.toString("latin1"));
  } catch {
    return parseResolvConf("");
  }
}

const commandNotStarted = (cause: LaunchError): UserError =>
  new UserError("COMMAND_NOT_STARTED", "inpod-launch was ended before it had become your command", {
    cause,
    hints: ["if nobody here did that: the kernel does when memory is short (dmesg tells)"],
  });
