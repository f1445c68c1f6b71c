/** What an agent's process runs in: how it is made, seen and taken away differs, all else is placed-agent.ts's. */
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { AgentRung } from "../../api.ts";
import type { ObjectRef } from "./agent-watch.ts";

export interface AgentBody {
  /** For people: `job/inpod-k3x beside pod/orders in namespace "shop"`. */
  readonly name: string;
  readonly rung: AgentRung;
  /** Made for another session, which it serves as well. */
  readonly isJoined?: boolean;
  /** Of its pod. */
  readonly namespace: string;
  readonly container: string;
  readonly image: string;
  /** Of its pod's 127.0.0.1. */
  readonly port: number;
  /** By which a watch of pods shows its pod and no other. */
  readonly query: Readonly<Record<string, string>>;
  /** Whose events tell of its start before it has a pod; undefined: none's. */
  readonly maker: ObjectRef | undefined;
  /** Whether the cluster would take it, without making it; undefined: asked already. @throws UserError */
  readonly tryAdmission: ((signal: AbortSignal) => Promise<void>) | undefined;
  /** Resolves with what was made, for people. Not to be aborted: what was given up may have been carried out. */
  create(): Promise<string>;
  /** What is still to be done once it answers, before anybody speaks with it. Resolves with that, for people. @throws UserError */
  readonly settle?: ((signal: AbortSignal) => Promise<string>) | undefined;
  /** Of its own container. */
  statusOf(pod: V1Pod): V1ContainerStatus | undefined;
  /**
   * Asks the cluster to end it; undefined: it ends by itself, with the last session.
   * @param others sessions that it still serves: then it stays. @throws ApiError, UserError
   */
  readonly remove: ((signal: AbortSignal, others: number) => Promise<void>) | undefined;
  /** Whether it has ended, or the cluster has begun to end it. */
  isGoing(pod: V1Pod): boolean;
  /** What to type when remove() failed. */
  readonly removeHints: readonly string[];
}
