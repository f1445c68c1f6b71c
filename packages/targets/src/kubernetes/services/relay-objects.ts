/** All that is made for a relay pod, as values. Everything but the Job belongs to the Job, and goes with it. Pure. */
import { type HeldNote, ownSelector, renderRelayPlace } from "@inpod/protocol";
import type {
  RbacV1Subject,
  V1Job,
  V1ObjectMeta,
  V1Pod,
  V1Role,
  V1RoleBinding,
  V1Service,
  V1ServiceAccount,
} from "@kubernetes/client-node";
import type { SessionFacts } from "../place/agent-command.ts";
import { jobName, targetlessObjects } from "../place/job-spec.ts";
import { labelsOf, OWNER_ANNOTATION, podLabels, SESSION_LABEL } from "../place/labels.ts";
import type { AgentPlacement } from "../place/placement.ts";
import { portNumbers, type RelayPort } from "./relay-fit.ts";

/** To give the Service back, let the nodes learn of it, and let what is under way end: 18 s at most (agent/src/relay). */
const END_TIMEOUT_S = 20;
/** A relay whose node has gone is made anew: without it the Service would lead to nobody. */
const RETRIES = 3;
const RBAC = "rbac.authorization.k8s.io";

/** The agent of one session, as long as only that session has it in its labels. */
export const agentSelector = (sessionId: string): Record<string, string> => ({
  [SESSION_LABEL]: sessionId,
});

/** The controller of Jobs writes them itself, and refuses other values. */
const OF_JOBS: readonly string[] = ["job-name", "controller-uid"].flatMap((key) => [
  key,
  `batch.kubernetes.io/${key}`,
]);

/**
 * What the Service's selector is while a relay has it: its own keys with other values. Who applies the Service's manifest
 * again (`kubectl apply`, Argo CD) writes those keys and leaves all others where they are: beside a key of inpod's own the
 * result would select nothing at all.
 *
 * @param taken labels that the relay's pod has otherwise
 */
export function relaySelector(
  own: Readonly<Record<string, string>>,
  sessionId: string,
  taken: Readonly<Record<string, string>>,
): Record<string, string> {
  const keys = Object.keys(own).filter((key) => !(key in taken || OF_JOBS.includes(key)));
  if (keys.length === 0) return agentSelector(sessionId);
  return Object.fromEntries(keys.map((key) => [key, jobName(sessionId)]));
}

/** The Service by which the relay reaches the pods. */
const originName = (sessionId: string): string => `${jobName(sessionId)}-origin`;

/** By which a relay reaches the pods of its Service; it still has the selector when that one's note is gone. */
export function isOrigin({ metadata }: V1Service): boolean {
  const holder = metadata?.labels?.[SESSION_LABEL];
  return holder !== undefined && metadata?.name === originName(holder);
}

/** What the note of a Service said that leads to a relay, should somebody have taken it away. @param origins those of relays */
export function rememberedNote(
  { metadata: { name, namespace } = {}, spec }: V1Service,
  origins: readonly V1Service[],
): HeldNote | undefined {
  const now = Object.entries(spec?.selector ?? {});
  for (const { metadata, spec: origin } of origins) {
    const { [SESSION_LABEL]: holder = "" } = metadata?.labels ?? {};
    const { "inpod.dev/target": target, [OWNER_ANNOTATION]: owner = "" } =
      metadata?.annotations ?? {};
    const relay = now.filter(
      ([key, value]) => value === (key === SESSION_LABEL ? holder : jobName(holder)),
    );
    const isIts = metadata?.namespace === namespace && target === `service/${name}`;
    if (!isIts || relay.length === 0) continue;
    const selector = { ...origin?.selector };
    return { holder, owner, selector, relay: Object.fromEntries(relay), untilMs: 0 };
  }
  return undefined;
}

/** How the Service leads to the relay's pod, and all labels of that. */
export function relayMarks(service: V1Service, agent: AgentPlacement, facts: SessionFacts) {
  const taken = podLabels({ ...agent, labels: {} }, labelsOf(facts, undefined));
  const selector = relaySelector(ownSelector(service) ?? {}, facts.sessionId, taken);
  return { selector, labels: { ...agent.labels, ...taken, ...selector } };
}

export interface RelayWish {
  readonly service: V1Service;
  readonly ports: readonly RelayPort[];
  readonly agent: AgentPlacement;
  readonly facts: SessionFacts;
  /** Whether the agent gets the right to give the Service back. */
  readonly restores: boolean;
  readonly nowMs: number;
}

export interface RelayObjects {
  /** Suspended: its pod needs the others, and they need it as their owner. */
  readonly job: V1Job;
  readonly pod: V1Pod;
  readonly origin: V1Service;
  readonly account: V1ServiceAccount;
  readonly role: V1Role;
  readonly binding: V1RoleBinding;
  /** By which the Service leads to the pod. */
  readonly selector: Readonly<Record<string, string>>;
}

export function relayObjects(wish: RelayWish): RelayObjects {
  const { service, ports, agent, facts, restores, nowMs } = wish;
  const { name: of = "", namespace = "" } = service.metadata ?? {};
  const name = jobName(facts.sessionId);
  const numbers = portNumbers(ports);
  const origin = originName(facts.sessionId);
  const own = { ...ownSelector(service) };
  const { selector, labels: ofRelay } = relayMarks(service, agent, facts);
  const place = renderRelayPlace({
    namespace,
    service: of,
    holder: facts.sessionId,
    origin,
    ports: numbers,
    restores,
    selectors: { selector: own, relay: selector },
  });
  const { job, pod } = targetlessObjects(namespace, agent, facts, nowMs, {
    agentOptions: ["--relay", place],
    endTimeoutS: END_TIMEOUT_S,
    ports: ports.flatMap(({ name: port, podPort }) =>
      port === undefined ? [] : [{ name: port, containerPort: podPort }],
    ),
    spec: {
      ...(restores ? { serviceAccountName: name, automountServiceAccountToken: true } : {}),
      // Of the safe ones: every Pod Security level takes it.
      ...(numbers.some((port) => port < 1024)
        ? {
            securityContext: {
              sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
            },
          }
        : {}),
    },
  });
  const target = `service/${of}`;
  const labels = { ...job.metadata?.labels };
  const marks = (meta: V1ObjectMeta = {}): V1ObjectMeta => ({
    ...meta,
    annotations: { ...meta.annotations, "inpod.dev/target": target },
  });
  const meta = (own: string): V1ObjectMeta => ({
    name: own,
    namespace,
    labels,
    annotations: {
      "inpod.dev/target": target,
      ...(facts.owner === undefined ? {} : { [OWNER_ANNOTATION]: facts.owner }),
    },
  });
  const subject: RbacV1Subject = { kind: "ServiceAccount", name, namespace };
  const template = job.spec?.template ?? {};
  const ofPod = (from?: V1ObjectMeta): V1ObjectMeta => ({ ...marks(from), labels: ofRelay });
  return {
    selector,
    pod: { ...pod, metadata: ofPod(pod.metadata) },
    job: {
      ...job,
      metadata: marks(job.metadata),
      spec: {
        ...job.spec,
        suspend: true,
        backoffLimit: RETRIES,
        template: { ...template, metadata: ofPod(template.metadata) },
      },
    },
    origin: {
      apiVersion: "v1",
      kind: "Service",
      metadata: meta(origin),
      spec: {
        selector: own,
        // As the Service's own: pods that are not ready are none of its endpoints either.
        ...(service.spec?.publishNotReadyAddresses === true
          ? { publishNotReadyAddresses: true }
          : {}),
        ports: numbers.map((port) => ({
          name: `p${port}`,
          port,
          // By name where the Service does, since its pods may have it at different numbers.
          targetPort: ports.find(({ podPort }) => podPort === port)?.name ?? port,
        })),
      },
    },
    account: {
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: meta(name),
      automountServiceAccountToken: false,
    },
    role: {
      apiVersion: `${RBAC}/v1`,
      kind: "Role",
      metadata: meta(name),
      rules: [
        { apiGroups: [""], resources: ["services"], resourceNames: [of], verbs: ["get", "patch"] },
      ],
    },
    binding: {
      apiVersion: `${RBAC}/v1`,
      kind: "RoleBinding",
      metadata: meta(name),
      roleRef: { apiGroup: RBAC, kind: "Role", name },
      subjects: [subject],
    },
  };
}

/**
 * @param relay the selector of its objects
 * @param untilMs by the API server's clock
 */
export const noteOf = (
  service: V1Service,
  relay: HeldNote["relay"],
  facts: SessionFacts,
  untilMs: number,
): HeldNote => ({
  holder: facts.sessionId,
  owner: facts.owner ?? "",
  selector: { ...ownSelector(service) },
  relay,
  untilMs,
});

/** As the owner of what goes with it. Without blockOwnerDeletion, which needs a right that users seldom have. */
export const ownedBy = <T extends { metadata?: V1ObjectMeta }>(object: T, job: V1Job): T => ({
  ...object,
  metadata: {
    ...object.metadata,
    ownerReferences: [
      {
        apiVersion: "batch/v1",
        kind: "Job",
        name: job.metadata?.name ?? "",
        uid: job.metadata?.uid ?? "",
      },
    ],
  },
});
