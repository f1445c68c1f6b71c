/** The target's pod, as far as it decides what a session can do. Pure. */
import type { V1ContainerState, V1Pod, V1Probe } from "@kubernetes/client-node";

export interface ProbeFacts {
  readonly kind: "liveness" | "readiness" | "startup";
  /** A number or the name of one; undefined: a command in the container. */
  readonly port: string | undefined;
  /** How long it may fail before the kubelet acts. */
  readonly patienceSeconds: number;
}

export interface PodFacts {
  readonly name: string;
  readonly namespace: string;
  readonly node: string | undefined;
  readonly phase: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Of all containers, those that keep running beside the application included. */
  readonly containers: readonly string[];
  readonly container: string;
  readonly isReady: boolean;
  readonly restarts: number;
  /** "CrashLoopBackOff", "ended with code 3"; undefined: it runs. */
  readonly idleReason: string | undefined;
  readonly probes: readonly ProbeFacts[];
  /** Ports that the container's spec declares, by name where they have one. */
  readonly ports: readonly { readonly name: string; readonly number: number }[];
  readonly runtimeClass: string | undefined;
  readonly isHostNetwork: boolean;
  /** `hostUsers: false` */
  readonly hasOwnUsers: boolean;
}

/** Kubernetes' own defaults. */
const DEFAULT_PERIOD_SECONDS = 10;
const DEFAULT_FAILURES = 3;

export function podFacts(pod: V1Pod, container: string): PodFacts {
  const { metadata, spec, status } = pod;
  const running = [
    ...(spec?.containers ?? []),
    ...(spec?.initContainers ?? []).filter((each) => each.restartPolicy === "Always"),
  ];
  const described = running.find(({ name }) => name === container);
  const state = [
    ...(status?.containerStatuses ?? []),
    ...(status?.initContainerStatuses ?? []),
  ].find(({ name }) => name === container);
  return {
    name: metadata?.name ?? "",
    namespace: metadata?.namespace ?? "",
    node: spec?.nodeName,
    phase: status?.phase ?? "Unknown",
    labels: metadata?.labels ?? {},
    annotations: metadata?.annotations ?? {},
    containers: running.map(({ name }) => name),
    container,
    isReady: state?.ready ?? false,
    restarts: state?.restartCount ?? 0,
    idleReason: idleReason(state?.state),
    probes: (
      [
        ["liveness", described?.livenessProbe],
        ["readiness", described?.readinessProbe],
        ["startup", described?.startupProbe],
      ] as const
    ).flatMap(([kind, probe]) => (probe === undefined ? [] : [probeFacts(kind, probe)])),
    ports: (described?.ports ?? []).map(({ name, containerPort }) => ({
      name: name ?? "",
      number: containerPort,
    })),
    runtimeClass: spec?.runtimeClassName,
    isHostNetwork: spec?.hostNetwork === true,
    hasOwnUsers: spec?.hostUsers === false,
  };
}

function idleReason(state: V1ContainerState = {}): string | undefined {
  const { waiting, terminated } = state;
  if (terminated !== undefined) return `ended with code ${terminated.exitCode}`;
  return waiting === undefined ? undefined : (waiting.reason ?? "waiting");
}

function probeFacts(kind: ProbeFacts["kind"], probe: V1Probe): ProbeFacts {
  const port = probe.httpGet?.port ?? probe.tcpSocket?.port ?? probe.grpc?.port;
  return {
    kind,
    port: port === undefined ? undefined : String(port),
    patienceSeconds:
      (probe.periodSeconds ?? DEFAULT_PERIOD_SECONDS) *
      (probe.failureThreshold ?? DEFAULT_FAILURES),
  };
}
