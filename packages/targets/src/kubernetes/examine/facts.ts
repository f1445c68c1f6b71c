/** What an examination finds out, as plain data: what it means is judged elsewhere. */
import type { UserError } from "@inpod/protocol";
import type { AgentRung, TargetPolicy } from "../../api.ts";
import type { ClusterPath } from "../../target-path.ts";
import type { ClusterOptions } from "../cluster.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { Answer } from "./answer.ts";
import type { PolicyFacts } from "./network-policies.ts";
import type { Amounts, NodeFacts } from "./node-facts.ts";
import type { PodFacts } from "./pod-facts.ts";
import type { RightAnswer } from "./rights.ts";

export interface ExamineOptions extends ClusterOptions {
  /** Undefined: only what does not depend on one. */
  readonly target: ClusterPath | undefined;
  readonly agent: AgentPlacement;
  /** Whether a Secret with a certificate will be read. */
  readonly readsCertificates?: boolean | undefined;
  readonly signal: AbortSignal;
}

export interface ClusterFacts {
  readonly contextName: string;
  readonly namespace: string;
  /** "v1.31.2" */
  readonly serverVersion: Answer<string>;
  /** How far this machine's clock is ahead of the API server's, to the second; 0 where it does not say. */
  readonly clockAheadMs: number;
  readonly user: Answer<string>;
  readonly rights: readonly RightAnswer[];
  /** Undefined: there is none of that name. */
  readonly namespaceFacts: Answer<NamespaceFacts | undefined>;
  /** Undefined: none was named, or it is a session without one. */
  readonly target: TargetFacts | undefined;
  /** Undefined: it is no session without a target. */
  readonly targetless: AgentOutlook | undefined;
}

export interface NamespaceFacts {
  readonly labels: Readonly<Record<string, string>>;
}

export type TargetFacts =
  | { readonly kind: "not-usable"; readonly error: UserError }
  | {
      readonly kind: "found";
      /** For people: "pod/orders-7d4f/container/app". */
      readonly path: string;
      /** Why this pod and container, where the user left the choice. */
      readonly why: string;
      readonly pod: PodFacts;
      /** Of its owners, as far as the user may read it; or why it is not understood. */
      readonly policy: TargetPolicy | UserError;
      readonly policies: Answer<readonly PolicyFacts[]>;
      readonly node: Answer<NodeFacts>;
      /** What the pods on the node ask for. */
      readonly taken: Answer<Amounts>;
      /** Containers' images on that node: by them a network plugin is recognised. */
      readonly nodePods: Answer<readonly NeighbourFacts[]>;
      /** The handler of the pod's RuntimeClass; undefined: it has none. */
      readonly runtimeClass: Answer<string> | undefined;
      readonly agent: AgentOutlook;
    };

/** A pod of the platform on the target's node. */
export interface NeighbourFacts {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface AgentOutlook {
  readonly namespace: string;
  readonly image: string;
  readonly imagePullPolicy: AgentPlacement["imagePullPolicy"];
  /** Undefined: nothing, it is a container that is added to the target's pod. */
  readonly asks: Omit<Amounts, "pods"> | undefined;
  /** Those that were tried, the wanted one first. */
  readonly rungs: readonly RungFacts[];
}

export interface RungFacts {
  readonly rung: AgentRung["kind"];
  /** False: who may not create pods cannot ask. */
  readonly isAsked: boolean;
  readonly refused: UserError | undefined;
}
