/** Whose an object is, what for and until when: on everything that a session makes. Pure. */
import type { V1Container, V1PodSpec } from "@kubernetes/client-node";
import type { TargetPod } from "../find/target-pod.ts";
import type { SessionFacts } from "./agent-command.ts";
import { type AgentPlacement, deadlineSeconds } from "./placement.ts";

type Words = Record<string, string>;

export const SESSION_LABEL = "inpod.dev/session";
export const OWNER_ANNOTATION = "inpod.dev/owner";
export const STARTS_UNTIL_ANNOTATION = "inpod.dev/starts-until";
export const DEADLINE_ANNOTATION = "inpod.dev/deadline";

export const labelsOf = ({ sessionId }: SessionFacts, target: TargetPod | undefined): Words => ({
  "app.kubernetes.io/managed-by": "inpod",
  [SESSION_LABEL]: sessionId,
  ...(target === undefined ? {} : targetLabels(target)),
});

/** Of all agents beside a pod, whichever of its containers they are for. */
export const targetLabels = (target: TargetPod): Words => ({
  "inpod.dev/target": labelValue(target.name),
  "inpod.dev/target-namespace": target.namespace,
});

/** A user's name has characters that no label may have: it is an annotation. */
export const annotationsOf = (
  { owner, startupTimeoutMs, communicationTimeoutMs }: SessionFacts,
  target: TargetPod | undefined,
  agent: AgentPlacement,
  nowMs: number,
): Words => ({
  [DEADLINE_ANNOTATION]: deadlineOf(agent, nowMs),
  // Until then somebody may be waiting for it.
  [STARTS_UNTIL_ANNOTATION]: new Date(
    nowMs + startupTimeoutMs + communicationTimeoutMs,
  ).toISOString(),
  ...(owner === undefined ? {} : { [OWNER_ANNOTATION]: owner }),
  "inpod.dev/target": target?.path ?? "targetless",
});

export const deadlineOf = (agent: AgentPlacement, nowMs: number): string =>
  new Date(nowMs + deadlineSeconds(agent) * 1000).toISOString();

/** A proxy beside the agent would take its traffic, and keep its pod alive after its end. */
const MESH_LABELS: Words = {
  "sidecar.istio.io/inject": "false",
  "kuma.io/sidecar-injection": "disabled",
};
const MESH_ANNOTATIONS: Words = {
  "sidecar.istio.io/inject": "false",
  "linkerd.io/inject": "disabled",
  "consul.hashicorp.com/connect-inject": "false",
};

const isWithoutMesh = (agent: AgentPlacement): boolean =>
  agent.disableMeshSidecarInjection !== false;

/** The user's never override inpod's own: by those its objects are found and removed. */
export const podLabels = (agent: AgentPlacement, own: Words): Words => ({
  ...agent.labels,
  ...(isWithoutMesh(agent) ? MESH_LABELS : {}),
  ...own,
});

export const podAnnotations = (agent: AgentPlacement, own: Words, spec: V1PodSpec): Words => ({
  ...agent.annotations,
  ...(isWithoutMesh(agent) ? MESH_ANNOTATIONS : {}),
  ...Object.assign({}, ...spec.containers.map(apparmorAnnotation)),
  ...own,
});

/** For API servers before 1.30, which do not know appArmorProfile and leave it out. */
function apparmorAnnotation({ name, securityContext }: V1Container): Words {
  const { type, localhostProfile } = securityContext?.appArmorProfile ?? {};
  if (type === undefined) return {};
  const value =
    type === "Localhost"
      ? `localhost/${localhostProfile}`
      : type === "RuntimeDefault"
        ? "runtime/default"
        : "unconfined";
  return { [`container.apparmor.security.beta.kubernetes.io/${name}`]: value };
}

/** A pod's name may be longer than a label's value (63) and contain what may not stand at its end. */
const labelValue = (name: string): string => name.slice(0, 63).replace(/[^a-zA-Z0-9]+$/, "");
