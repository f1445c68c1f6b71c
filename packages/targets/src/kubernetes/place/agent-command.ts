/** How an agent's container is called: enter's arguments, then Node's. Pure. */
import { ALLOWS_ALL, type Policy, renderPolicy } from "@inpod/protocol";
import type { AgentOptions } from "../../api.ts";
import { patience } from "../../enter-arguments.ts";
import type { TargetPod } from "../find/target-pod.ts";
import { type AgentPlacement, deadlineSeconds } from "./placement.ts";

/**
 * Uid and gid of the agent's Node. The rules in the target's namespace know its connections by the
 * gid, so it must be one that no application has.
 */
export const NODE_ID = 40404;
const FIND_TIMEOUT_SECONDS = 20;

/** Of one session, as it is written into every object that is made for it. */
export interface SessionFacts
  extends Pick<
    AgentOptions,
    | "sessionId"
    | "greetsAs"
    | "publicKey"
    | "idleTimeoutMs"
    | "resumeTimeoutMs"
    | "communicationTimeoutMs"
    | "startupTimeoutMs"
  > {
  /** The user's name as the cluster knows it; undefined where it does not tell. */
  readonly owner?: string | undefined;
  /** What the target's owners allow; the agent obeys it. */
  readonly policy?: Policy | undefined;
}

export interface CommandParts {
  /** enter's: how the target is found and what it may do. */
  readonly way: readonly string[];
  /** Of the agent pod's own 127.0.0.1. */
  readonly port: number;
  /** Ids of their own for Node; only who has the right to change them can give them. */
  readonly nodeIds?: { readonly uid: boolean; readonly gid: boolean };
  /** Node's own options: its memory. */
  readonly nodeOptions?: readonly string[];
  /** The agent's. */
  readonly agentOptions?: readonly string[];
}

export function agentCommand(
  parts: CommandParts,
  facts: SessionFacts,
  placement: AgentPlacement,
): string[] {
  const { way, port, nodeIds, nodeOptions = [], agentOptions = [] } = parts;
  const log = [
    ...["--log-level", placement.logLevel ?? "info"],
    placement.jsonLog === true ? "--json-log" : "--plain-log",
  ];
  return [
    "/inpod/inpod-enter",
    ...way,
    ...["--listen", String(port)],
    ...(nodeIds?.uid ? ["--node-uid", String(NODE_ID)] : []),
    ...(nodeIds?.gid ? ["--node-gid", String(NODE_ID)] : []),
    // Its own clock ends it, also when nobody of the cluster can.
    ...["--deadline", String(deadlineSeconds(placement))],
    ...log,
    ...(placement.metrics === undefined ? [] : ["--metrics", placement.metrics]),
    "--",
    "/inpod/node",
    ...nodeOptions,
    "/inpod/agent.js",
    ...["--public-key", facts.publicKey],
    ...patience(facts),
    ...(facts.owner === undefined ? [] : ["--owner", facts.owner]),
    ...policyArguments(facts.policy),
    ...log,
    ...(placement.metrics === undefined ? [] : ["--metrics"]),
    ...agentOptions,
  ];
}

function policyArguments(policy: Policy = ALLOWS_ALL): string[] {
  const text = renderPolicy(policy);
  return text === "" ? [] : ["--policy", text];
}

type BesideParts = Pick<TargetPod, "containerId" | "uid" | "isRunning">;

/** By id; between two lives of a crashing container: the pod's network without it. */
export const besideContainer = ({ containerId, uid, isRunning }: BesideParts): string[] => [
  ...["--container-id", containerId],
  ...["--pod-uid", uid],
  // What does not run now comes with another id: the session tells it then.
  ...["--find-timeout", String(isRunning ? FIND_TIMEOUT_SECONDS : 0)],
];
