/** The Job of one session and the pod that it makes, as values. Pure. */
import type {
  V1Job,
  V1Pod,
  V1PodSpec,
  V1SecurityContext,
  V1Toleration,
} from "@kubernetes/client-node";
import type { TargetPod } from "../find/target-pod.ts";
import { agentCommand, besideContainer, NODE_ID, type SessionFacts } from "./agent-command.ts";
import { annotationsOf, labelsOf, podAnnotations, podLabels } from "./labels.ts";
import { type AgentPlacement, deadlineSeconds } from "./placement.ts";
import { profilesOf, rightsOf } from "./security.ts";

/** Of the agent pod's own 127.0.0.1. */
export const AGENT_PORT = 61337;
export const CONTAINER = "agent";

export interface AgentObjects {
  readonly job: V1Job;
  /** The pod that the Job will make, for a dry run: admission looks at pods, not at Jobs. */
  readonly pod: V1Pod;
}

export const jobName = (sessionId: string): string => `inpod-${sessionId}`;
export const agentNamespace = (target: TargetPod, agent: AgentPlacement): string =>
  agent.namespace ?? target.namespace;

/** @param nowMs since the epoch, for the deadline that people read in an annotation */
export function agentObjects(
  target: TargetPod,
  agent: AgentPlacement,
  facts: SessionFacts,
  nowMs: number,
): AgentObjects {
  const namespace = agentNamespace(target, agent);
  // Collected with its target. An owner in another namespace would have it deleted at once.
  // Without blockOwnerDeletion, which needs a right that users seldom have.
  const owners =
    namespace === target.namespace
      ? [{ apiVersion: "v1", kind: "Pod", name: target.name, uid: target.uid }]
      : undefined;
  return objects({
    namespace,
    target,
    agent,
    facts,
    nowMs,
    owners,
    spec: jobPodSpec(target, agent, facts),
  });
}

/** What an agent without a target is for, where that is more than to be there. */
export interface OwnRole {
  /** The agent's. */
  readonly agentOptions: readonly string[];
  /** More of the pod's spec. */
  readonly spec?: Partial<V1PodSpec>;
  /** Names by which Services may know its ports. */
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  /** How long it may take to put things in order at its end. */
  readonly endTimeoutS?: number;
}

/** A pod of the namespace like any other: it passes the Pod Security level `restricted`. */
export function targetlessObjects(
  namespace: string,
  agent: AgentPlacement,
  facts: SessionFacts,
  nowMs: number,
  role?: OwnRole,
): AgentObjects {
  const spec = targetlessPodSpec(agent, facts, role);
  return objects({ namespace, target: undefined, agent, facts, nowMs, owners: undefined, spec });
}

interface Parts {
  readonly namespace: string;
  readonly target: TargetPod | undefined;
  readonly agent: AgentPlacement;
  readonly facts: SessionFacts;
  readonly nowMs: number;
  readonly owners: NonNullable<V1Job["metadata"]>["ownerReferences"];
  readonly spec: V1PodSpec;
}

function objects({ namespace, target, agent, facts, nowMs, owners, spec }: Parts): AgentObjects {
  // It becomes part of names and labels (RFC 1123 label).
  if (!/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(facts.sessionId))
    throw new TypeError(`session id "${facts.sessionId}" is no DNS label`);
  const name = jobName(facts.sessionId);
  const labels = labelsOf(facts, target);
  const annotations = annotationsOf(facts, target, agent, nowMs);
  const metadata = {
    labels: podLabels(agent, labels),
    annotations: podAnnotations(agent, annotations, spec),
  };
  return {
    pod: { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name, namespace }, spec },
    job: {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: {
        name,
        namespace,
        labels: { ...agent.labels, ...labels },
        annotations: { ...agent.annotations, ...annotations },
        ...(owners === undefined ? {} : { ownerReferences: owners }),
      },
      spec: {
        backoffLimit: 0,
        ttlSecondsAfterFinished: agent.ttlS ?? 1,
        activeDeadlineSeconds: deadlineSeconds(agent),
        template: { metadata, spec },
      },
    },
  };
}

/** What both pods have in common. */
function anyPodSpec(agent: AgentPlacement, command: string[], securityContext: V1SecurityContext) {
  return {
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    ...(agent.serviceAccount === undefined ? {} : { serviceAccountName: agent.serviceAccount }),
    ...(agent.priorityClass === undefined ? {} : { priorityClassName: agent.priorityClass }),
    ...(agent.imagePullSecrets?.length
      ? { imagePullSecrets: agent.imagePullSecrets.map((name) => ({ name })) }
      : {}),
    containers: [
      {
        name: CONTAINER,
        image: agent.image,
        ...(agent.imagePullPolicy === undefined ? {} : { imagePullPolicy: agent.imagePullPolicy }),
        command,
        securityContext,
        resources: resourcesOf(agent),
      },
    ],
  };
}

function jobPodSpec(target: TargetPod, agent: AgentPlacement, facts: SessionFacts): V1PodSpec {
  const disabled: readonly string[] = agent.disabledCapabilities ?? [];
  const command = agentCommand(
    {
      way: [
        ...besideContainer(target),
        ...(agent.allowHostNetwork === true ? ["--allow-shared-network"] : []),
      ],
      port: AGENT_PORT,
      nodeIds: { uid: !disabled.includes("SETUID"), gid: !disabled.includes("SETGID") },
    },
    facts,
    agent,
  );
  return {
    // Past the scheduler: it must be this node, and taints against new pods do not mean the agent.
    nodeName: target.node,
    tolerations: tolerationsOf(agent) ?? [{ operator: "Exists" }],
    // The target's processes are found among the node's.
    hostPID: true,
    enableServiceLinks: false,
    ...anyPodSpec(agent, command, jobSecurity(agent)),
  };
}

function jobSecurity(agent: AgentPlacement): V1SecurityContext {
  return {
    runAsUser: 0,
    runAsGroup: 0,
    readOnlyRootFilesystem: true,
    ...rightsOf(agent, agent.disabledCapabilities ?? []),
    ...profilesOf(agent),
  };
}

function targetlessPodSpec(
  agent: AgentPlacement,
  facts: SessionFacts,
  { agentOptions, spec, ports = [], endTimeoutS }: OwnRole = { agentOptions: [] },
): V1PodSpec {
  const way = [
    "--targetless",
    ...(endTimeoutS === undefined ? [] : ["--end-timeout", String(endTimeoutS)]),
  ];
  const command = agentCommand({ way, port: AGENT_PORT, agentOptions }, facts, agent);
  const made: V1PodSpec = {
    // The scheduler chooses: what is tainted is no place for a pod that could be anywhere.
    ...(agent.tolerations === undefined ? {} : { tolerations: tolerationsOf(agent) ?? [] }),
    ...(Object.keys(agent.nodeSelector ?? {}).length > 0
      ? { nodeSelector: { ...agent.nodeSelector } }
      : {}),
    // Its environment is what a pod of the namespace gets, the addresses of its services included.
    enableServiceLinks: true,
    ...anyPodSpec(agent, command, {
      runAsUser: NODE_ID,
      runAsGroup: NODE_ID,
      runAsNonRoot: true,
      readOnlyRootFilesystem: true,
      allowPrivilegeEscalation: false,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
      ...profilesOf(agent),
    }),
    ...(endTimeoutS === undefined ? {} : { terminationGracePeriodSeconds: endTimeoutS + 2 }),
    ...spec,
  };
  if (ports.length > 0)
    made.containers = made.containers.map((each) => ({ ...each, ports: [...ports] }));
  return made;
}

/** JSON leaves out what is undefined. */
const tolerationsOf = ({ tolerations }: AgentPlacement): V1Toleration[] | undefined =>
  tolerations?.map((each) => ({ ...each }) as V1Toleration);

/** Quotas refuse pods without; the small request finds room on a full node. */
const REQUESTS: Readonly<Record<string, string>> = {
  cpu: "1m",
  memory: "1Mi",
  "ephemeral-storage": "1Mi",
};
const LIMITS: Readonly<Record<string, string>> = {
  cpu: "1",
  memory: "128Mi",
  "ephemeral-storage": "16Mi",
};

/** A request beyond inpod's limit would be refused: whoever says only the request gets it as the limit as well. */
function resourcesOf({ resources = {} }: AgentPlacement) {
  const { requests = {}, limits = {} } = resources;
  const asked = Object.fromEntries(
    Object.entries(requests).filter(([name]) => name in LIMITS && !(name in limits)),
  );
  return {
    requests: { ...REQUESTS, ...requests },
    limits: { ...LIMITS, ...asked, ...limits },
  };
}
