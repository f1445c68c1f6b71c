/** What is created in the cluster for one session, as values. Pure. */
import type { V1Job, V1Pod } from "@kubernetes/client-node";
import type { AgentOptions } from "../../api.ts";
import type { TargetPod } from "../find/target-pod.ts";

/** Of the agent pod's own 127.0.0.1. */
export const AGENT_PORT = 61337;
/**
 * Uid and gid of the agent's Node. The rules in the target's namespace know its connections by the
 * gid, so it must be one that no application has.
 */
const NODE_ID = "40404";
const FIND_TIMEOUT_SECONDS = "20";
const DEFAULT_DEADLINE_SECONDS = 24 * 60 * 60;
const CONTAINER = "agent";

export interface AgentImage {
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never" | undefined;
  /** Not the target's: then nothing collects the Job but its deadline and the agent's own end. */
  readonly namespace?: string | undefined;
  /** Whatever happens, the cluster ends the agent then. */
  readonly deadlineSeconds?: number | undefined;
}

export interface AgentObjects {
  readonly job: V1Job;
  /** The pod that the Job will make, for a dry run: admission looks at pods, not at Jobs. */
  readonly pod: V1Pod;
}

type SpecOptions = Pick<
  AgentOptions,
  "sessionId" | "publicKey" | "idleTimeoutMs" | "communicationTimeoutMs"
>;

export const jobName = (sessionId: string): string => `inpod-${sessionId}`;
export const agentNamespace = (target: TargetPod, agent: AgentImage): string =>
  agent.namespace ?? target.namespace;

/** @param nowMs since the epoch, for the deadline that people read in an annotation */
export function agentObjects(
  target: TargetPod,
  agent: AgentImage,
  options: SpecOptions,
  nowMs: number,
): AgentObjects {
  // It becomes part of names and labels (RFC 1123 label).
  if (!/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(options.sessionId))
    throw new TypeError(`session id "${options.sessionId}" is no DNS label`);
  const name = jobName(options.sessionId);
  const namespace = agentNamespace(target, agent);
  const deadlineSeconds = agent.deadlineSeconds ?? DEFAULT_DEADLINE_SECONDS;
  const labels = {
    "app.kubernetes.io/managed-by": "inpod",
    "inpod.dev/session": options.sessionId,
    "inpod.dev/target": labelValue(target.name),
    "inpod.dev/target-namespace": target.namespace,
  };
  const annotations = {
    "inpod.dev/deadline": new Date(nowMs + deadlineSeconds * 1000).toISOString(),
    "inpod.dev/target": target.path,
  };
  const template = {
    metadata: {
      labels: {
        ...labels,
        // A proxy beside the agent would take its traffic, and keep its pod alive after its end.
        "sidecar.istio.io/inject": "false",
        "kuma.io/sidecar-injection": "disabled",
      },
      annotations: {
        ...annotations,
        "sidecar.istio.io/inject": "false",
        "linkerd.io/inject": "disabled",
        "consul.hashicorp.com/connect-inject": "false",
        // For API servers before 1.30, which do not know appArmorProfile and leave it out.
        [`container.apparmor.security.beta.kubernetes.io/${CONTAINER}`]: "unconfined",
      },
    },
    spec: podSpec(target, agent, options),
  };
  return {
    pod: {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { ...template.metadata, name, namespace },
      spec: template.spec,
    },
    job: {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata: {
        name,
        namespace,
        labels,
        annotations,
        // Collected with its target. An owner in another namespace would have it deleted at once.
        // Without blockOwnerDeletion, which needs a right that users seldom have.
        ...(namespace === target.namespace
          ? {
              ownerReferences: [
                { apiVersion: "v1", kind: "Pod", name: target.name, uid: target.uid },
              ],
            }
          : {}),
      },
      spec: {
        backoffLimit: 0,
        ttlSecondsAfterFinished: 1,
        activeDeadlineSeconds: deadlineSeconds,
        template,
      },
    },
  };
}

function podSpec(target: TargetPod, agent: AgentImage, options: SpecOptions) {
  return {
    restartPolicy: "Never",
    // Past the scheduler: it must be this node, and taints against new pods do not mean the agent.
    nodeName: target.node,
    tolerations: [{ operator: "Exists" }],
    // The target's processes are found among the node's.
    hostPID: true,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: CONTAINER,
        image: agent.image,
        ...(agent.imagePullPolicy === undefined ? {} : { imagePullPolicy: agent.imagePullPolicy }),
        command: [
          "/inpod/inpod-enter",
          ...["--container-id", target.containerId],
          // Between two lives of a crashing container: the pod's network without it.
          ...["--pod-uid", target.uid],
          ...["--listen", String(AGENT_PORT)],
          ...["--node-uid", NODE_ID, "--node-gid", NODE_ID],
          ...["--find-timeout", FIND_TIMEOUT_SECONDS],
          "--",
          "/inpod/node",
          "/inpod/agent.js",
          ...["--public-key", options.publicKey],
          ...["--idle-timeout-ms", String(options.idleTimeoutMs)],
          ...["--communication-timeout-ms", String(options.communicationTimeoutMs)],
        ],
        securityContext: {
          runAsUser: 0,
          runAsGroup: 0,
          readOnlyRootFilesystem: true,
          capabilities: {
            drop: ["ALL"],
            add: [
              "NET_ADMIN", // nftables
              "NET_RAW", // packet sockets
              "SYS_PTRACE", // namespaces and environment of the target's processes
              "SYS_ADMIN", // setns(2)
              "DAC_READ_SEARCH", // a target that does not run as root
              "SETUID", // the file worker becomes the target's user
              "SETGID",
            ],
          },
          seccompProfile: { type: "RuntimeDefault" },
          // The usual profile lets a process look only at those under the same one.
          appArmorProfile: { type: "Unconfined" },
          seLinuxOptions: { type: "spc_t" },
        },
        // Quotas refuse pods without; the small request finds room on a full node.
        resources: {
          requests: { cpu: "1m", memory: "1Mi", "ephemeral-storage": "1Mi" },
          limits: { cpu: "1", memory: "128Mi", "ephemeral-storage": "16Mi" },
        },
      },
    ],
  };
}

/** A pod's name may be longer than a label's value (63) and contain what may not stand at its end. */
const labelValue = (name: string): string => name.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, "");
