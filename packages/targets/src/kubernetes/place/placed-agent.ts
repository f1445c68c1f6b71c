/** An agent in the cluster, whatever it runs in: made, reached, followed and removed. */
import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { AgentOptions, AgentRung, Joiner, PlacedAgent } from "../../api.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain, isNotFound } from "../reach/api-errors.ts";
import { followPod } from "../reach/follow-pod.ts";
import { dialPod, type PodStream, PortForwardError } from "../reach/portforward.ts";
import type { AgentBody } from "./agent-body.ts";
import { agentLastWords } from "./agent-log.ts";
import { followEvents } from "./agent-watch.ts";
import { joinersOf } from "./join.ts";
import {
  eventVerdict,
  isAboutContainer,
  podVerdict,
  type StartupVerdict,
} from "./startup-verdict.ts";

/** All of remove(). */
const REMOVE_TIMEOUT_MS = 5_000;
/** A connected agent says hello at once; the rest is the way there and back. */
const HELLO_TIMEOUT_MS = 10_000;
/** Between attempts to connect to an agent whose container has just been started. */
const RETRY_MS = [20, 50, 100, 200, 500] as const;

/** @throws UserError; whatever was made by then is removed again */
export async function placeBody(
  api: ApiClient,
  body: AgentBody,
  options: AgentOptions,
): Promise<PlacedAgent> {
  options.signal.throwIfAborted();
  const agent = new AgentInPod(api, body, options);
  try {
    await agent.start();
    return agent;
  } catch (error) {
    // What made it fail is what the user must read, not that cleaning up failed as well.
    await agent.remove().catch(() => {});
    throw error;
  }
}

/** Kernels and runtimes do not say who has refused. */
const PRIVILEGED_HINTS = [
  'AppArmor or SELinux of the node may be what refuses; where you may, ask for every right: {"agent": {"privileged": true}}',
];

class AgentInPod implements PlacedAgent {
  readonly name: string;
  readonly rung: AgentRung;
  readonly isJoined: boolean;
  readonly gone: Promise<string>;
  readonly #api: ApiClient;
  readonly #body: AgentBody;
  readonly #options: AgentOptions;
  /** Ends the watches. */
  readonly #watching = new AbortController();
  readonly #goneBecause: (why: string) => void;
  /** Resolves when the cluster has begun to end it. */
  readonly #going: Promise<void>;
  readonly #isGoing: () => void;
  #podName: string | undefined;
  /** It may exist: from the request to make it on, whether an answer came or not. */
  #isAsked = false;
  #onVerdict: (verdict: StartupVerdict) => void = () => {};
  /** The connection that showed that the agent answers; the first dial() gets it. */
  #firstStream: PodStream | undefined;
  #wasDialled = false;
  /** By session; forgotten with this. */
  readonly #joiners = new Map<string, Joiner>();
  #onJoiner: ((joiner: Joiner) => void) | undefined;
  #goneWhy: string | undefined;
  #removed: Promise<void> | undefined;

  constructor(api: ApiClient, body: AgentBody, options: AgentOptions) {
    this.#api = api;
    this.#body = body;
    this.#options = options;
    this.name = body.name;
    this.rung = body.rung;
    this.isJoined = body.isJoined ?? false;
    const gone = deferred<string>();
    this.gone = gone.promise;
    this.#goneBecause = (why) => {
      this.#goneWhy ??= why;
      gone.resolve(why);
    };
    const going = deferred<void>();
    this.#going = going.promise;
    this.#isGoing = going.resolve;
  }

  async start(): Promise<void> {
    const { signal, startupTimeoutMs, onProgress } = this.#options;
    const { namespace, maker, tryAdmission } = this.#body;
    const failure = deferred<never>();
    failure.promise.catch(() => {});
    const running = deferred<void>();
    let waitsFor = "its pod is not there yet";
    const starting = new AbortController();
    this.#onVerdict = (verdict) => {
      if (verdict.kind === "running") running.resolve();
      else if (verdict.kind === "waiting") {
        if (verdict.why !== waitsFor && /^Pulling/.test(verdict.why)) onProgress(verdict.why);
        waitsFor = verdict.why;
      } else if (verdict.needsLog) {
        this.#withLastWords(verdict.error).then(failure.reject);
      } else failure.reject(verdict.error);
    };
    const stop = () => {
      failure.reject(signal.reason);
      starting.abort(signal.reason);
    };
    signal.addEventListener("abort", stop);
    const timer = setTimeout(
      () => failure.reject(notReady(startupTimeoutMs, waitsFor)),
      startupTimeoutMs,
    );
    try {
      // Already while admission is asked: whatever happens to the Job is then known at once.
      this.#follow(failure.reject);
      const early = AbortSignal.any([starting.signal, this.#watching.signal]);
      if (maker !== undefined)
        followEvents(this.#api, namespace, maker, early, (event) =>
          this.#tell(eventVerdict(event)),
        );
      if (tryAdmission !== undefined)
        await Promise.race([tryAdmission(starting.signal), failure.promise]);
      signal.throwIfAborted();
      this.#isAsked = true;
      onProgress(await Promise.race([this.#body.create(), failure.promise]));
      await Promise.race([running.promise, failure.promise]);
      onProgress("agent started");
      this.#firstStream = await Promise.race([this.#firstAnswer(starting.signal), failure.promise]);
      // Somebody may never dial, and an error without a listener ends the process.
      this.#firstStream.on("error", () => {});
      if (this.#body.settle !== undefined)
        onProgress(await Promise.race([this.#body.settle(starting.signal), failure.promise]));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", stop);
      this.#onVerdict = () => {};
      starting.abort();
    }
  }

  async dial(signal: AbortSignal): Promise<Duplex> {
    // A pod that is being deleted may still answer for a second.
    if (this.#goneWhy !== undefined || this.#removed !== undefined)
      throw agentGone(this.#goneWhy ?? "it is being removed");
    this.#wasDialled = true;
    const first = this.#firstStream;
    this.#firstStream = undefined;
    if (first !== undefined && !first.destroyed && !first.readableEnded) return first;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(HELLO_TIMEOUT_MS)]);
    try {
      return await this.#connect(limited);
    } catch (error) {
      signal.throwIfAborted();
      // Told by the watch, too, unless that has stood still with this machine. A kubelet that has just been
      // started says the same of every pod.
      if (isNotFound(error) && (await this.#isDeleted(limited)))
        this.#goneBecause("the agent's pod is not there any more");
      throw explain(error);
    }
  }

  async #isDeleted(signal: AbortSignal): Promise<boolean> {
    const { namespace } = this.#body;
    const pod = { group: "", resource: "pods", namespace, name: this.#podName ?? "" };
    try {
      await this.#api.request({ verb: "get", ...pod }, { signal });
      return false;
    } catch (error) {
      return isNotFound(error);
    }
  }

  remove(others = this.isJoined ? 1 : 0): Promise<void> {
    this.#removed ??= this.#remove(others);
    return this.#removed;
  }

  followJoiners(listener: (joiner: Joiner) => void): void {
    this.#onJoiner = listener;
    for (const joiner of this.#joiners.values()) listener(joiner);
  }

  #follow(onRefused: (error: unknown) => void): void {
    const { namespace, query } = this.#body;
    followPod(this.#api, namespace, query, this.#watching.signal, {
      onPod: (pod) => this.#see(pod),
      onDeleted: () => {
        this.#isGoing();
        this.#goneBecause("the agent's pod was deleted");
      },
    }).catch(onRefused);
  }

  #see(pod: V1Pod): void {
    const name = pod.metadata?.name;
    if (this.#podName === undefined && name !== undefined) {
      this.#podName = name;
      // "Started" is told here up to a second before the pod's status has it.
      const about = { kind: "Pod", name } as const;
      const { namespace, container } = this.#body;
      followEvents(this.#api, namespace, about, this.#watching.signal, (event) => {
        if (isAboutContainer(event, container)) this.#tell(eventVerdict(event));
      });
    }
    for (const joiner of joinersOf(pod)) this.#join(joiner);
    if (this.#body.isGoing(pod)) this.#isGoing();
    const { phase = "", reason } = pod.status ?? {};
    const status = this.#body.statusOf(pod);
    const ended = status?.state?.terminated;
    if (phase === "Succeeded" || phase === "Failed" || ended !== undefined) {
      this.#goneBecause(endOfAgent(ended?.exitCode, reason ?? ended?.reason));
    }
    this.#tell(podVerdict(pod, this.#body.image, status));
  }

  #join(joiner: Joiner): void {
    const { sessionId, publicKey } = joiner;
    const isKnown = this.#joiners.get(sessionId)?.publicKey === publicKey;
    if (isKnown || sessionId === (this.#options.greetsAs ?? this.#options.sessionId)) return;
    this.#joiners.set(sessionId, joiner);
    this.#onJoiner?.(joiner);
  }

  #tell(verdict: StartupVerdict | undefined): void {
    if (verdict !== undefined) this.#onVerdict(verdict);
  }

  async #withLastWords(error: UserError): Promise<UserError> {
    const words =
      this.#podName === undefined
        ? undefined
        : await agentLastWords(this.#api, {
            namespace: this.#body.namespace,
            pod: this.#podName,
            container: this.#body.container,
          });
    if (words === undefined) return error;
    const isRefused = /Permission denied|Operation not permitted/.test(words);
    return new UserError(error.code, error.message, {
      hints: [...error.hints, ...(isRefused ? PRIVILEGED_HINTS : [])],
      cause: new Error(words),
    });
  }

  /** "Started" does not say that it listens: tries again until somebody else knows that it is over. */
  async #firstAnswer(signal: AbortSignal): Promise<PodStream> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#connect(signal);
      } catch (error) {
        const isEarly =
          error instanceof PortForwardError || (error instanceof ApiError && error.status >= 500);
        if (!isEarly) throw explain(error);
        const waitMs = RETRY_MS[Math.min(attempt, RETRY_MS.length - 1)];
        await delay(waitMs, undefined, { signal });
      }
    }
  }

  async #connect(signal: AbortSignal): Promise<PodStream> {
    if (this.#podName === undefined) throw new Error("the agent has no pod");
    const { namespace, port } = this.#body;
    const stream = await dialPod(this.#api, { namespace, pod: this.#podName, port }, signal);
    const stop = () => stream.destroy(signal.reason);
    const ignore = () => {};
    stream.on("error", ignore);
    signal.addEventListener("abort", stop);
    try {
      if (signal.aborted) stop();
      await stream.answered;
      return stream;
    } finally {
      signal.removeEventListener("abort", stop);
      if (!stream.destroyed) stream.off("error", ignore);
    }
  }

  async #remove(others: number): Promise<void> {
    const deadline = AbortSignal.timeout(REMOVE_TIMEOUT_MS);
    this.#firstStream?.destroy();
    try {
      if (!this.#isAsked) return;
      await this.#body.remove?.(deadline, others);
      if (others > 0) return; // it goes on for them
      // Without a session nothing tells it to end; it does in time.
      const isExpected = this.#body.remove !== undefined || this.#wasDialled;
      if (this.#podName === undefined || !isExpected) return;
      const late = new Promise<void>((resolve) =>
        deadline.addEventListener("abort", () => resolve()),
      );
      await Promise.race([this.#going, late]);
    } catch (error) {
      if (!isNotFound(error)) throw notRemoved(this.#body, explain(error));
    } finally {
      this.#watching.abort();
      this.#goneBecause("the agent was removed");
    }
  }
}

/** @param reason the cluster's word: "Evicted", "OOMKilled"; "Error" and "Completed" say no more than the code */
function endOfAgent(code: number | undefined, reason: string | undefined): string {
  const word = reason && !/^(Error|Completed)$/.test(reason) ? ` (${reason})` : "";
  return `the agent ended${code === undefined ? "" : ` with code ${code}`}${word}`;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** Promise.withResolvers exists from Node 22 on. */
function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

const agentGone = (why: string): UserError =>
  new UserError("AGENT_GONE", `there is no agent any more: ${why}`);

const notReady = (timeoutMs: number, waitsFor: string): UserError =>
  new UserError("AGENT_NOT_READY", `the agent did not answer within ${timeoutMs / 1000} s`, {
    hints: ["give it longer, if the node is still fetching its image: startup_timeout"],
    cause: new Error(waitsFor),
  });

const notRemoved = ({ name, removeHints: hints }: AgentBody, cause: unknown): UserError =>
  new UserError("AGENT_NOT_REMOVED", `${name} may still be there`, { hints, cause });
