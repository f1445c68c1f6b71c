/** What a user may say about the agent: where it is put, with which rights, and how it lives. */
/** What a Job has, and why. Each can be taken away; enter says what is then missing. */
export const CAPABILITIES = [
  "NET_ADMIN", // nftables
  "NET_RAW", // packet sockets
  "SYS_PTRACE", // namespaces and environment of the target's processes
  "SYS_ADMIN", // setns(2)
  "DAC_READ_SEARCH", // a target that does not run as root
  "SETUID", // the file worker becomes the target's user
  "SETGID",
] as const;
export type Capability = (typeof CAPABILITIES)[number];

/** As a pod's spec writes it. */
export interface SecurityProfile {
  readonly type: "RuntimeDefault" | "Unconfined" | "Localhost";
  readonly localhostProfile?: string | undefined;
}

/** As a pod's spec writes it. */
export interface Toleration {
  readonly key?: string | undefined;
  readonly operator?: "Equal" | "Exists" | undefined;
  readonly value?: string | undefined;
  readonly effect?: "NoSchedule" | "PreferNoSchedule" | "NoExecute" | undefined;
  readonly tolerationSeconds?: number | undefined;
}

/** Undefined: inpod's own choice. */
export interface AgentPlacement {
  readonly image: string;
  readonly imagePullPolicy?: "Always" | "IfNotPresent" | "Never" | undefined;
  /** Names of Secrets in the agent's namespace. */
  readonly imagePullSecrets?: readonly string[] | undefined;
  /** Not the target's: then nothing collects the Job but its deadline and the agent's own end. */
  readonly namespace?: string | undefined;
  /** The user's yes to an ephemeral container, which stays in the pod's spec. */
  readonly ephemeral?: boolean | undefined;
  /** The user's yes to rules in the node's own network, where a hostNetwork pod lives. */
  readonly allowHostNetwork?: boolean | undefined;
  /** Every right there is, for nodes whose AppArmor or SELinux refuses the ones below. */
  readonly privileged?: boolean | undefined;
  readonly disabledCapabilities?: readonly Capability[] | undefined;
  /** Undefined: every taint, since the node is the target's; without a target none. */
  readonly tolerations?: readonly Toleration[] | undefined;
  /** Without a target only: beside one, the node is the target's. */
  readonly nodeSelector?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  readonly resources?:
    | {
        readonly requests?: Readonly<Record<string, string>> | undefined;
        readonly limits?: Readonly<Record<string, string>> | undefined;
      }
    | undefined;
  readonly serviceAccount?: string | undefined;
  readonly priorityClass?: string | undefined;
  readonly securityContext?:
    | {
        readonly seccompProfile?: SecurityProfile | undefined;
        readonly appArmorProfile?: SecurityProfile | undefined;
      }
    | undefined;
  /** How long the cluster keeps the Job after the agent's end. */
  readonly ttlS?: number | undefined;
  readonly logLevel?: string | undefined;
  readonly jsonLog?: boolean | undefined;
  /** `ADDRESS:PORT` of the agent's own network. */
  readonly metrics?: string | undefined;
  /** Whether a full node is a reason to look for another rung. */
  readonly checkOutOfPods?: boolean | undefined;
  readonly disableMeshSidecarInjection?: boolean | undefined;
  /** Whatever happens, the agent ends then, and the cluster ends it too. */
  readonly deadlineSeconds?: number | undefined;
}

const DEFAULT_DEADLINE_SECONDS = 24 * 60 * 60;
export const deadlineSeconds = (placement: AgentPlacement): number =>
  placement.deadlineSeconds ?? DEFAULT_DEADLINE_SECONDS;
