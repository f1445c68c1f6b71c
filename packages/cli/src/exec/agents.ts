/** The agents of one session, one after the other: the user's process outlives each of them. */
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "@inpod/protocol";
import { peekAgent } from "@inpod/session";
import type { AgentOptions, Joiner, PlacedAgent, Target } from "@inpod/targets";
import type { Progress } from "../text/progress.ts";
import { Patience } from "./patience.ts";

/** An agent that did not last so long was no help. */
const SHORT_LIFE_MS = 30_000;
const MAX_SHORT_LIVES = 5;
const REMOVE_MS = 10_000;
/** How long an agent is asked whom it still serves, again and again: what cut our tunnel may be over in a moment. */
const ASK_MS = 3000;
const ASK_PAUSE_MS = 200;
/** For so long an agent waits for a session whose tunnel is lost, and counts it (agent/src/sessions). */
const COMES_BACK_MS = 60_000;
type Place = Pick<Target, "place">;
type Fixed = Omit<AgentOptions, "signal" | "onProgress">;

export class Agents {
  readonly #target: Place;
  readonly #options: Fixed;
  readonly #progress: Pick<Progress, "say" | "detail">;
  readonly #placed: PlacedAgent[] = [];
  readonly #gone = new WeakSet<PlacedAgent>();
  #placing: Promise<unknown> = Promise.resolve();
  #since = 0;
  #shortLives = 0;
  #isOver = false;
  #saidYes = false;
  /** Undefined: the session has not begun. */
  #tunnel: { readonly lostAtMs: number | undefined } | undefined;
  #onJoiner: ((joiner: Joiner) => void) | undefined;

  constructor(target: Place, options: Fixed, progress: Pick<Progress, "say" | "detail">) {
    this.#target = target;
    this.#options = options;
    this.#progress = progress;
  }

  /** Of now; undefined when it is known to be gone. */
  get living(): PlacedAgent | undefined {
    const last = this.#placed.at(-1);
    return last && this.#gone.has(last) ? undefined : last;
  }

  /** @throws UserError, the signal's reason */
  first(signal: AbortSignal): Promise<PlacedAgent> {
    return this.#place(signal, (step) => this.#progress.detail(step));
  }

  /**
   * One of its own, where the one that it has joined did not take it: whoever could have had it admitted was away.
   * @throws UserError, the signal's reason
   */
  async own(signal: AbortSignal): Promise<PlacedAgent> {
    await this.#placed
      .at(-1)
      ?.remove()
      .catch(() => {});
    return this.#place(signal, (step) => this.#progress.detail(step), false);
  }

  /**
   * The next one, when the one before is gone; tries for as long as it has patience (patience.ts).
   * @param isLeft the one before goes on until it ends: it is no failure
   * @throws UserError why there is none to be had, the signal's reason
   */
  replace(why: string, signal: AbortSignal, isLeft = false): Promise<PlacedAgent> {
    const placing = this.#replace(why, signal, isLeft);
    this.#placing = placing.catch(() => {});
    return placing;
  }

  async #replace(why: string, signal: AbortSignal, isLeft: boolean): Promise<PlacedAgent> {
    if (isLeft) this.#progress.say(`inpod: ${why}`);
    else await this.#giveUp(why);
    const patience = new Patience(performance.now());
    for (;;) {
      try {
        return await this.#place(signal, () => {});
      } catch (error) {
        signal.throwIfAborted();
        const next = patience.failed(error, performance.now());
        if (next.kind === "give-up") throw error;
        if (next.say !== undefined) this.#progress.say(`inpod: ${next.say}`);
        await delay(next.pauseMs, undefined, { signal });
      }
    }
  }

  /** @throws UserError that none lasts */
  async #giveUp(why: string): Promise<void> {
    const isShort = performance.now() - this.#since < SHORT_LIFE_MS;
    this.#shortLives = isShort ? this.#shortLives + 1 : 0;
    if (this.#shortLives >= MAX_SHORT_LIVES) throw noAgentLasts(why);
    this.#progress.say(`inpod: the agent is gone (${why}): starting another one`);
    // What is left of it can be in the way of the next: rules, or a place on the node.
    await this.#placed
      .at(-1)
      ?.remove()
      .catch(() => {});
  }

  async #place(
    signal: AbortSignal,
    onProgress: (step: string) => void,
    mayJoin = true,
  ): Promise<PlacedAgent> {
    const number = this.#placed.length + 1;
    const { sessionId } = this.#options;
    const { confirm } = this.#options;
    const agent = await this.#target.place({
      ...this.#options,
      confirm: confirm && ((question) => this.#confirm(confirm, question)),
      // Its objects carry this name, and those of the one before may not be gone yet.
      sessionId: number === 1 ? sessionId : `${sessionId}-${number}`,
      greetsAs: sessionId,
      mayJoin,
      signal,
      onProgress,
    });
    this.#placed.push(agent);
    void agent.gone.then(() => this.#gone.add(agent));
    if (this.#onJoiner) agent.followJoiners?.(this.#onJoiner);
    this.#since = performance.now();
    return agent;
  }

  /** The terminal is the user's process's when the first agent is gone: a yes from before counts again. */
  async #confirm(confirm: (question: string) => Promise<boolean>, question: string) {
    if (this.#placed.length > 0) return this.#saidYes;
    const isYes = await confirm(question);
    this.#saidYes ||= isYes;
    return isYes;
  }

  /** From now on: others who have the right to speak with the agent, and may know it by no other way. */
  followJoiners(listener: (joiner: Joiner) => void): void {
    this.#onJoiner = listener;
    this.#placed.at(-1)?.followJoiners?.(listener);
  }

  /** The last agent has the session's tunnel, or has just lost it. */
  hasTunnel(isThere: boolean): void {
    this.#tunnel = { lostAtMs: isThere ? undefined : performance.now() };
  }

  /**
   * Ends all that were placed. After the session's end; says what could not be removed.
   * @param others sessions that the last agent still serves; undefined: it did not say, and is asked
   */
  async remove(others?: number): Promise<void> {
    if (this.#isOver) return;
    this.#isOver = true;
    await this.#placing;
    const last = this.#placed.at(-1);
    const served = last && (others ?? (await this.#othersOn(last)));
    await Promise.all(
      this.#placed.map((agent) => this.#remove(agent, agent === last ? served : undefined)),
    );
  }

  /**
   * Whom an agent serves that could not tell us at the session's end: without its tunnel we do not know of those who
   * have joined since, and who removed its job would end their sessions.
   */
  async #othersOn(agent: PlacedAgent): Promise<number | undefined> {
    if (this.#tunnel === undefined) return undefined; // no session, nothing that could have been lost
    if (agent.followJoiners === undefined) return undefined; // nobody else comes to it
    this.#progress.say("inpod: asking the agent whether it serves others");
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), ASK_MS);
    const stop = (): void => late.abort();
    void agent.gone.then(stop);
    const over = new Promise<undefined>((resolve) =>
      late.signal.addEventListener("abort", () => resolve(undefined), { once: true }),
    );
    try {
      return await Promise.race([over, this.#ask(agent, late.signal)]);
    } finally {
      clearTimeout(timer);
      late.abort();
    }
  }

  async #ask(agent: PlacedAgent, signal: AbortSignal): Promise<number | undefined> {
    while (!signal.aborted) {
      try {
        const { sessions } = await peekAgent(await agent.dial(signal));
        const { lostAtMs = performance.now() } = this.#tunnel ?? {};
        // Rather one too many: what stays for nobody ends by itself.
        const isOursCounted = performance.now() - lostAtMs < COMES_BACK_MS;
        return Math.max(0, sessions - (isOursCounted ? 1 : 0));
      } catch {
        await delay(ASK_PAUSE_MS, undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  async #remove(agent: PlacedAgent, others: number | undefined): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("no answer within 10 s")), REMOVE_MS);
    });
    try {
      await Promise.race([agent.remove(others), late]);
    } catch (error) {
      // A refusal names the right that was missing, and the Role to ask for.
      const reason =
        error instanceof UserError && error.cause instanceof UserError ? error.cause : error;
      const why = reason instanceof Error ? reason.message : String(reason);
      this.#progress.say(
        `inpod: ${agent.name} could not be removed (${why}); it ends by itself within two minutes. Later, inpod verify tells whether anything is left, and inpod clean removes it`,
      );
      if (reason instanceof UserError && reason.code === "FORBIDDEN")
        for (const hint of reason.hints)
          this.#progress.say(`  hint: ${hint.replaceAll("\n", "\n    ")}`);
    } finally {
      clearTimeout(timer);
    }
  }
}

const noAgentLasts = (why: string): UserError =>
  new UserError(
    "AGENT_GONE",
    `${MAX_SHORT_LIVES} agents have ended, each soon after its start: ${why}`,
  );
