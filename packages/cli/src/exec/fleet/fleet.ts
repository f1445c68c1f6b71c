/** The traffic of all pods of a workload: the target's own session, and one more for each other pod. */
import type { CanaryResult, CanaryWish, PodPort } from "@inpod/protocol";
import {
  Fan,
  type IncomingSource,
  type Session,
  type Stolen,
  type TakeOptions,
} from "@inpod/session";
import type { PlacedAgent, Replicas } from "@inpod/targets";
import { decide } from "./decide.ts";
import { Member, type MemberParts } from "./member.ts";
import { changeWords, countWords, portWords, takenWords } from "./words.ts";

/** Agents that start at a time. */
const MAX_STARTING = 5;
/** A pod from which nothing could be had is tried again, after these; then not any more. */
const AGAIN_MS = [30_000, 120_000] as const;
/** The fan's name for the target's own session, wherever it is. */
const OWN = "";

export interface FleetParts extends Omit<MemberParts, "turn" | "onPortLost"> {
  readonly replicas: Replicas;
  /** Pods at most, the target's own among them. */
  readonly limit: number;
  /** What only matters to who wants to know all. */
  readonly log: (line: string) => void;
}

export class Fleet implements IncomingSource {
  readonly #parts: FleetParts;
  readonly #fan: Fan<string>;
  readonly #members = new Map<string, Member>();
  readonly #ended: Promise<void>[] = [];
  /** By pod: how often it failed, and what was said of it. */
  readonly #failures = new Map<string, { count: number; said: string }>();
  readonly #refused = new Set<string>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #waiting: (() => void)[] = [];
  #starting = 0;
  #number = 0;
  #own: Promise<Session> | undefined;
  /** Until the target's own session stands, what fails elsewhere fails there too, and is said there. */
  #held: string[] | undefined = [];
  #told: readonly string[] = [];
  /** The pod that was the target when it was last looked. */
  #ownBefore: string | undefined;
  #isPaused = false;
  #isWanted = false;
  #isOver = false;
  #ending: Promise<void> | undefined;
  #isAside = false;
  readonly #stopListening: () => void;

  constructor(parts: FleetParts) {
    this.#parts = parts;
    this.#fan = new Fan({
      onRefused: (name, port, error) => this.#refusedPort(name, port, error),
      onTaken: () => this.#tell(),
    });
    this.#stopListening = parts.replicas.listen(() => this.reconcile());
  }

  /** `portAt` of the options is asked by the pod's id. */
  steal(...[port, onConnection, options]: Parameters<Session["steal"]>): Promise<Stolen> {
    this.#want();
    return this.#fan.steal(port, onConnection, { ...options, ...this.#byPod(options) });
  }

  mirror(...[port, onConnection, options]: Parameters<Session["mirror"]>): Promise<Stolen> {
    this.#want();
    return this.#fan.mirror(port, onConnection, { ...options, ...this.#byPod(options) });
  }

  #byPod({ portAt }: TakeOptions = {}): Pick<TakeOptions, "portAt"> {
    if (portAt === undefined) return {};
    return { portAt: (name) => portAt(name === OWN ? this.#parts.replicas.own() : name) };
  }

  /**
   * Who steals is about to listen: the other pods are begun with when the target's own session stands, beside the program's
   * start and not before it. Copies are what comes to every program that nobody said anything else of, and most of those
   * never listen: pods are begun with when one does.
   */
  begin(own: Promise<Session>): void {
    this.#own = own;
    void this.#fan.add(OWN, own);
    own.then(
      () => {
        for (const line of this.#held ?? []) this.#parts.say(line);
        this.#held = undefined;
        if (this.#parts.mode === "steal") this.#want();
      },
      () => {},
    );
  }

  #want(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.reconcile();
  }

  /** The target's own session has the traffic of all pods. */
  standAside(): void {
    this.#isAside = true;
  }

  /** After every change of the pods, and when the target has moved to another one of them. */
  reconcile(): void {
    if (this.#isOver || this.#isAside || !this.#isWanted) return;
    const { replicas, limit } = this.#parts;
    const pods = replicas.now();
    const { join, leave } = decide({
      pods,
      own: replicas.own(),
      members: [...this.#members.keys()],
      refused: this.#refused,
      limit,
    });
    for (const id of leave) this.#leave(id);
    for (const pod of pods) if (join.includes(pod.id)) this.#join(pod);
    for (const pod of pods) void this.#members.get(pod.id)?.follow(pod.containerId);
    const own = replicas.own();
    if (own !== this.#ownBefore) void this.#fan.moved(OWN);
    this.#ownBefore = own;
    this.#tell();
  }

  /** For the target's own session, when it moves to a pod that is had here already. */
  heldBeside(id: string): PlacedAgent | undefined {
    return this.#members.get(id)?.agentForOthers();
  }

  /** Whether the target's own session takes this port of its pod; else a member has those, or it has another number there. */
  ownTakes(port: PodPort): boolean {
    const { replicas } = this.#parts;
    return this.#members.get(replicas.own())?.isUp !== true && this.#fan.wants(OWN, port);
  }

  /** The target's own session has lost a port. */
  ownLost(port: PodPort): void {
    this.#fan.lost(OWN, port);
    this.#tell();
  }

  async pause(): Promise<void> {
    this.#isPaused = true;
    await this.#each((session) => session.pause());
  }

  async resume(): Promise<void> {
    this.#isPaused = false;
    await this.#each((session) => session.resume());
  }

  /** @param own when the target's own session has ended. Once; later calls wait for the same */
  end(own: Promise<unknown>): Promise<void> {
    this.#ending ??= this.#end(own);
    return this.#ending;
  }

  async #end(own: Promise<unknown>): Promise<void> {
    this.#isOver = true;
    this.#stopListening();
    for (const timer of this.#timers) clearTimeout(timer);
    const shared = this.#parts.replicas.own();
    const counts = [...this.#fan.counts].map(([id, count]) => [this.#nameOf(id), count] as const);
    if (counts.length > 0) this.#parts.log(`inpod: ${countWords(counts)}`);
    const members = [...this.#members].map(([id, member]) =>
      member.end(id === shared ? own : undefined),
    );
    await Promise.all([...members, ...this.#ended]);
  }

  /** The target's own session tries it; it may arrive at any of them. */
  async canary(wish: CanaryWish): Promise<CanaryResult | undefined> {
    for (const { isUp, session } of this.#members.values())
      if (isUp)
        void session.then((other) => other.canary({ ...wish, attempts: 0 })).catch(() => {});
    return (await this.#own)?.canary(wish);
  }

  async #each(work: (session: Session) => Promise<void>): Promise<void> {
    const members = [...this.#members.values()].filter(({ isUp }) => isUp);
    const sessions = [this.#own, ...members.map(({ session }) => session)];
    const all = sessions.map(async (session) => session && work(await session));
    const failed = (await Promise.allSettled(all)).find(({ status }) => status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
  }

  #join(replica: Member["replica"]): void {
    const { id } = replica;
    const member = new Member(replica, ++this.#number, {
      ...this.#parts,
      say: (line) => this.#say(line),
      turn: (signal) => this.#turn(signal),
      onPortLost: (port) => {
        this.#fan.lost(id, port);
        this.#tell();
      },
    });
    this.#members.set(id, member);
    member.session.then(
      (session) => {
        if (this.#isPaused) session.pause().catch(() => {});
      },
      () => {},
    );
    void this.#fan.add(id, member.session);
    void member.lost.then((why) => this.#lost(member, why));
  }

  #leave(id: string): void {
    const member = this.#members.get(id);
    if (member === undefined) return;
    this.#members.delete(id);
    this.#fan.remove(id);
    this.#ended.push(member.end().catch(() => {}));
    // It has had the ports of the target's own pod.
    if (id !== this.#parts.replicas.own() || this.#isPaused) return;
    void this.#own?.then((session) => session.resume()).catch(() => {});
  }

  #lost(member: Member, why: string): void {
    const { id } = member.replica;
    if (this.#isOver || this.#members.get(id) !== member) return;
    this.#leave(id);
    const pod = this.#parts.replicas.now().find((each) => each.id === id);
    if (pod !== undefined && pod.state !== "ending") this.#failed(member, why);
    this.reconcile();
  }

  #failed({ replica: { id, name } }: Member, why: string): void {
    const { count = 0, said = "" } = this.#failures.get(id) ?? {};
    const line = `inpod: pod ${name} is left out: ${why}`;
    if (line !== said) this.#say(line);
    this.#failures.set(id, { count: count + 1, said: line });
    this.#refused.add(id);
    const againMs = AGAIN_MS[count];
    if (againMs === undefined) return;
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#refused.delete(id);
      this.reconcile();
    }, againMs);
    this.#timers.add(timer.unref());
  }

  #refusedPort(id: string, port: PodPort, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    const verb = this.#parts.mode === "steal" ? "taken" : "mirrored";
    this.#say(`inpod: pod ${this.#nameOf(id)}: port ${portWords(port)} is not ${verb}: ${why}`);
  }

  #tell(): void {
    const { ports } = this.#fan;
    if (this.#isOver || this.#isAside || ports.length === 0) return;
    const { replicas, mode, limit } = this.#parts;
    const known = replicas.now();
    const pods = [...new Set(this.#fan.taken.map((id) => this.#nameOf(id)))].filter(Boolean);
    const ready = known.filter(({ state }) => state === "ready").length;
    const before = this.#told;
    const isSame = pods.length === before.length && pods.every((name) => before.includes(name));
    if (isSame) return;
    this.#told = pods;
    const words = takenWords({ mode, ports, pods, ready, of: replicas.of, limit });
    if (before.length > 0) this.#say(`inpod: ${changeWords(before, pods)}: ${words}`);
    else if (pods.length > 1 || ready > 1) this.#say(`inpod: ${words}`);
  }

  readonly #names = new Map<string, string>();

  #nameOf(id: string): string {
    const uid = id === OWN ? this.#parts.replicas.own() : id;
    const name = this.#parts.replicas.now().find((pod) => pod.id === uid)?.name;
    if (name !== undefined) this.#names.set(uid, name);
    return name ?? this.#names.get(uid) ?? "";
  }

  #say(line: string): void {
    if (this.#isOver) return;
    if (this.#held) this.#held.push(line);
    else this.#parts.say(line);
  }

  async #turn(signal: AbortSignal): Promise<() => void> {
    while (this.#starting >= MAX_STARTING)
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    if (signal.aborted) {
      this.#waiting.shift()?.();
      throw signal.reason;
    }
    this.#starting++;
    return () => {
      this.#starting--;
      this.#waiting.shift()?.();
    };
  }
}
