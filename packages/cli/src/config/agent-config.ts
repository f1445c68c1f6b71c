/** What is said about the agent, everything defaulted. Pure. */
import type * as z from "zod";
import type { agentSection, LogLevel, startupRetrySection } from "./agent-keys.ts";
import { defined } from "./defined.ts";
import type { Overrides } from "./overrides.ts";

type AgentSection = z.output<typeof agentSection>;
type Written<Key extends keyof AgentSection> = Readonly<NonNullable<AgentSection[Key]>>;
/** A profile as a pod's spec writes it. */
export type SecurityProfile = Readonly<NonNullable<Written<"security_context">["seccomp_profile"]>>;

/** When a Service's traffic comes through a relay pod; `auto`: where nothing else can take it. */
export type RelayMode = "auto" | "always" | "never";

export interface AgentConfig {
  /** Undefined: the image that belongs to this version. */
  readonly image?: string;
  readonly imagePullPolicy?: "IfNotPresent" | "Always" | "Never";
  /** Names of Secrets in the agent's namespace. */
  readonly imagePullSecrets: readonly string[];
  /** Undefined: the target's. */
  readonly namespace?: string;
  /** The user's yes to an ephemeral container, which stays in the pod's spec. */
  readonly ephemeral: boolean;
  /** The user's yes to stealing from a pod that lives in its node's network. */
  readonly allowHostNetwork: boolean;
  /** Where traffic alone is wanted. */
  readonly relayPod: { readonly mode: RelayMode; readonly isUnattended: boolean };
  readonly privileged: boolean;
  readonly disabledCapabilities: Written<"disabled_capabilities">;
  /** As a pod's spec has them. Undefined: every taint is tolerated; []: none is. */
  readonly tolerations?: Written<"tolerations">;
  /** For a session without a target only. */
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** Beside inpod's own. */
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Quantities are strings. What is not said keeps inpod's own. */
  readonly resources: {
    readonly requests: Readonly<Record<string, string>>;
    readonly limits: Readonly<Record<string, string>>;
  };
  readonly serviceAccount?: string;
  readonly priorityClass?: string;
  /** Undefined: inpod's own. */
  readonly securityContext: {
    readonly seccompProfile?: SecurityProfile;
    readonly appArmorProfile?: SecurityProfile;
  };
  readonly startupTimeoutMs: number;
  /** The agent waits this long for its first session. */
  readonly communicationTimeoutMs: number;
  /** Without a session for this long the agent ends itself. */
  readonly idleTimeoutMs: number;
  readonly resumeTimeoutMs: number;
  /** How long the cluster keeps the Job after the agent's end. */
  readonly ttlS: number;
  readonly logLevel: LogLevel;
  readonly jsonLog: boolean;
  /** `ADDRESS:PORT` of the agent's pod. */
  readonly metrics?: string;
  readonly checkOutOfPods: boolean;
  readonly flushConnections: boolean;
  readonly injectHeaders: boolean;
  readonly disableMeshSidecarInjection: boolean;
  /** Of requests to the API server before the agent runs. */
  readonly startupRetry: {
    readonly minMs: number;
    readonly maxMs: number;
    readonly maxRetries: number;
  };
}

const SECOND = 1000;
const DEFAULT_STARTUP_S = 60;
const DEFAULT_COMMUNICATION_S = 30;
const DEFAULT_IDLE_S = 30;
const DEFAULT_RESUME_S = 60;
const DEFAULT_TTL_S = 1;

export function agentConfig(
  agent: AgentSection,
  retry: z.output<typeof startupRetrySection>,
  overrides: Overrides,
): AgentConfig {
  const { image } = agent;
  const { seccomp_profile, app_armor_profile } = agent.security_context ?? {};
  return {
    ...defined({
      image:
        overrides.agentImage ??
        (typeof image === "object" ? `${image.registry}:${image.tag}` : image),
      imagePullPolicy: agent.image_pull_policy,
      namespace: overrides.agentNamespace ?? agent.namespace,
      tolerations: agent.tolerations,
      serviceAccount: agent.service_account,
      priorityClass: agent.priority_class,
      metrics: agent.metrics,
    }),
    imagePullSecrets: agent.image_pull_secrets ?? [],
    ephemeral: overrides.ephemeral ?? agent.ephemeral ?? false,
    allowHostNetwork: overrides.allowHostNetwork ?? agent.allow_host_network ?? false,
    relayPod: {
      mode: overrides.relayPod ?? agent.relay_pod?.mode ?? "auto",
      isUnattended: agent.relay_pod?.unattended ?? false,
    },
    privileged: agent.privileged ?? false,
    disabledCapabilities: agent.disabled_capabilities ?? [],
    nodeSelector: agent.node_selector ?? {},
    labels: agent.labels ?? {},
    annotations: agent.annotations ?? {},
    resources: {
      requests: agent.resources?.requests ?? {},
      limits: agent.resources?.limits ?? {},
    },
    securityContext: defined({
      seccompProfile: seccomp_profile,
      appArmorProfile: app_armor_profile,
    }),
    startupTimeoutMs:
      (overrides.agentStartupTimeoutS ?? agent.startup_timeout ?? DEFAULT_STARTUP_S) * SECOND,
    communicationTimeoutMs: (agent.communication_timeout ?? DEFAULT_COMMUNICATION_S) * SECOND,
    idleTimeoutMs: (agent.idle_timeout ?? DEFAULT_IDLE_S) * SECOND,
    resumeTimeoutMs: (agent.resume_timeout ?? DEFAULT_RESUME_S) * SECOND,
    ttlS: overrides.agentTtlS ?? agent.ttl ?? DEFAULT_TTL_S,
    logLevel: overrides.agentLogLevel ?? agent.log_level ?? "info",
    jsonLog: agent.json_log ?? false,
    checkOutOfPods: agent.check_out_of_pods ?? true,
    flushConnections: agent.flush_connections ?? true,
    injectHeaders: agent.inject_headers ?? false,
    disableMeshSidecarInjection: agent.disable_mesh_sidecar_injection ?? true,
    startupRetry: {
      minMs: retry.min_ms ?? Math.min(500, retry.max_ms ?? 500),
      maxMs: retry.max_ms ?? Math.max(5000, retry.min_ms ?? 0),
      maxRetries: retry.max_retries ?? 2,
    },
  };
}
