/** What the agent's pod and the events about it say of its start. Pure. */
import { UserError } from "@inpod/protocol";
import type { CoreV1Event, V1ContainerStatus, V1Pod } from "@kubernetes/client-node";

export type StartupVerdict =
  | { readonly kind: "waiting"; readonly why: string }
  /** The agent's container runs, or so the kubelet says. */
  | { readonly kind: "running" }
  /** It will not come to run. `needsLog`: the container's own last lines say why. */
  | { readonly kind: "failed"; readonly error: UserError; readonly needsLog: boolean };

/**
 * Reasons that do not go away while somebody waits. ErrImagePull among them: the next attempt is
 * ten seconds later, and a wrong name or missing right stays what it is.
 */
const IMAGE_REASONS: ReadonlySet<string> = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "ErrImageNeverPull",
  "InvalidImageName",
  "ImageInspectError",
  "RegistryUnavailable",
  "SignatureValidationFailed",
]);
const CONTAINER_REASONS: ReadonlySet<string> = new Set([
  "CreateContainerConfigError",
  "CreateContainerError",
  "RunContainerError",
]);

/** @param status of the agent's own container, as far as the pod has one */
export function podVerdict(
  pod: V1Pod,
  image: string,
  status: V1ContainerStatus | undefined,
): StartupVerdict {
  const state = status?.state;
  if (state?.terminated !== undefined) {
    const { exitCode, reason, message } = state.terminated;
    return {
      kind: "failed",
      needsLog: true,
      error: agentEnded(exitCode, reason, message),
    };
  }
  if (pod.metadata?.deletionTimestamp !== undefined)
    return { kind: "failed", needsLog: false, error: agentDeleted() };
  const { phase, reason, message } = pod.status ?? {};
  // The kubelet's own refusals: OutOfcpu, OutOfpods, NodeAffinity, Evicted, DeadlineExceeded.
  if (phase === "Failed")
    return {
      kind: "failed",
      needsLog: false,
      error: nodeRefused(pod.spec?.nodeName ?? "", reason ?? "Failed", message),
    };
  if (state?.running !== undefined) return { kind: "running" };
  const waiting = state?.waiting;
  if (waiting?.reason !== undefined) {
    if (IMAGE_REASONS.has(waiting.reason))
      return {
        kind: "failed",
        needsLog: false,
        error: imageNotPulled(image, waiting.reason, waiting.message),
      };
    if (CONTAINER_REASONS.has(waiting.reason))
      return {
        kind: "failed",
        needsLog: false,
        error: containerNotStarted(waiting.reason, waiting.message),
      };
    return { kind: "waiting", why: waiting.reason };
  }
  return { kind: "waiting", why: phase ?? "Pending" };
}

export function eventVerdict(event: CoreV1Event): StartupVerdict | undefined {
  const { reason = "", message = "", type, involvedObject } = event;
  // The kubelet tells this at once; the pod's status follows up to a second later.
  if (reason === "Started" && involvedObject.kind === "Pod") return { kind: "running" };
  if (reason === "FailedCreate" && involvedObject.kind === "Job")
    return { kind: "failed", needsLog: false, error: podRefused(message) };
  if (type === "Warning") return { kind: "waiting", why: `${reason}: ${message}` };
  if (reason === "Pulling") return { kind: "waiting", why: message };
  return undefined;
}

/** Events of a pod's other containers are not about the agent; those of the pod as a whole are. */
export function isAboutContainer({ involvedObject }: CoreV1Event, container: string): boolean {
  const { fieldPath } = involvedObject;
  return fieldPath === undefined || fieldPath.endsWith(`{${container}}`);
}

const because = (text: string | undefined): { cause?: Error } =>
  text ? { cause: new Error(text) } : {};

const imageNotPulled = (image: string, reason: string, message?: string): UserError =>
  new UserError(
    "IMAGE_NOT_PULLED",
    `the node cannot get the agent's image "${image}" (${reason})`,
    {
      hints: [
        "check its name, and that the nodes may pull it",
        'choose another: {"agent": {"image": "…"}} in the configuration',
      ],
      ...because(message),
    },
  );

const containerNotStarted = (reason: string, message?: string): UserError =>
  new UserError("AGENT_NOT_STARTED", `the node cannot start the agent (${reason})`, {
    ...because(message),
  });

const agentEnded = (exitCode: number, reason?: string, message?: string): UserError =>
  new UserError(
    "AGENT_ENDED",
    `the agent ended with code ${exitCode}${reason ? ` (${reason})` : ""} before it could answer`,
    { ...because(message) },
  );

const agentDeleted = (): UserError =>
  new UserError("AGENT_ENDED", "the agent's pod was deleted before it could answer", {
    hints: ["is the target being deleted? the agent goes with it"],
  });

/** Out of something (OutOfcpu, OutOfmemory, OutOfpods, OutOfephemeral-storage): another rung needs none of it. */
const nodeRefused = (node: string, reason: string, message?: string): UserError =>
  reason.startsWith("OutOf")
    ? new UserError("NODE_FULL", `node "${node}" is full and did not take the agent (${reason})`, {
        hints: ["choose a pod on another node, or make room"],
        ...because(message),
      })
    : new UserError("NODE_REFUSED", `node "${node}" did not take the agent (${reason})`, {
        ...because(message),
      });

const podRefused = (message: string): UserError =>
  new UserError("AGENT_REFUSED", "the cluster refused to create the agent's pod", {
    ...because(message),
  });
