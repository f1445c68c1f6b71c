/**
 * Containers that platforms put beside the application: nobody who names only the pod means them.
 * Names are those that injectors and operators give, or that their documentation tells people to give.
 */
const SIDECARS: ReadonlySet<string> = new Set([
  // Meshes, gateways and what carries their traffic
  "istio-proxy",
  "linkerd-proxy",
  "linkerd-debug",
  "kuma-sidecar",
  "consul-dataplane",
  "consul-connect-envoy-sidecar",
  "consul-connect-lifecycle-sidecar",
  "consul-sidecar",
  "envoy",
  "envoy-sidecar",
  "envoy-proxy",
  "nginx-mesh-sidecar",
  "queue-proxy", // Knative
  "daprd",
  "traffic-agent", // Telepresence
  "tailscale",
  "ts-sidecar",
  // Databases, logins and secrets
  "cloud-sql-proxy",
  "cloudsql-proxy",
  "alloydb-auth-proxy",
  "vault-agent",
  "oauth2-proxy",
  "kube-rbac-proxy",
  "spiffe-helper",
  "aws-sigv4-proxy",
  "tls-sidecar", // Strimzi
  // Files
  "gke-gcsfuse-sidecar",
  "git-sync",
  "config-reloader", // Prometheus operator
  // Logs, metrics and traces
  "xray-daemon",
  "aws-otel-collector",
  "otel-collector",
  "otc-container", // OpenTelemetry operator
  "splunk-otel-collector",
  "jaeger-agent",
  "datadog-agent",
  "datadog-agent-injected",
  "dd-agent",
  "cloudwatch-agent",
  "fluent-bit",
  "fluentbit",
  "fluentd",
  "aws-for-fluent-bit",
  "filebeat",
  "promtail",
  "telegraf",
]);
/** Cloud SQL's operator ends its names by that of its resource. */
const SIDECAR_PREFIXES = ["csql-"];

/** What `kubectl logs` and `kubectl exec` go by; the second is its name from before Kubernetes 1.21. */
const DEFAULT_CONTAINER = [
  "kubectl.kubernetes.io/default-container",
  "kubectl.kubernetes.io/default-logs-container",
] as const;

export interface ContainerNames {
  /** In the order of the pod's spec, without init and ephemeral containers. */
  readonly containers: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

export const isSidecar = (name: string): boolean =>
  SIDECARS.has(name) || SIDECAR_PREFIXES.some((prefix) => name.startsWith(prefix));

/** The container that somebody means who named only its pod, and why. */
export function chooseContainer({ containers, annotations }: ContainerNames): {
  readonly name: string | undefined;
  readonly why: string;
} {
  for (const key of DEFAULT_CONTAINER) {
    const annotated = annotations[key];
    if (annotated !== undefined && containers.includes(annotated))
      return { name: annotated, why: `annotation ${key}` };
  }
  if (containers.length === 1) return { name: containers[0], why: "the only container" };
  const first = containers.find((name) => !isSidecar(name));
  return first === undefined
    ? { name: containers[0], why: "the first container" }
    : { name: first, why: "the first that is no known sidecar" };
}
