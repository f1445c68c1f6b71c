/**
 * Containers that platforms put beside the application: nobody who names only the pod means them.
 * Names are those that the injectors give (Istio, Linkerd, Kuma, Consul, Open Service Mesh, Vault,
 * Dapr, Google's and Amazon's proxies and agents).
 */
const SIDECARS: ReadonlySet<string> = new Set([
  "istio-proxy",
  "linkerd-proxy",
  "kuma-sidecar",
  "consul-dataplane",
  "consul-connect-envoy-sidecar",
  "envoy",
  "envoy-sidecar",
  "vault-agent",
  "daprd",
  "cloud-sql-proxy",
  "cloudsql-proxy",
  "xray-daemon",
  "aws-otel-collector",
  "otel-collector",
  "fluent-bit",
  "filebeat",
  "queue-proxy",
]);

/** What `kubectl logs` and `kubectl exec` go by. */
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export interface ContainerNames {
  /** In the order of the pod's spec. */
  readonly containers: readonly string[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** The container that somebody means who named only its pod, and why. */
export function chooseContainer({ containers, annotations }: ContainerNames): {
  readonly name: string | undefined;
  readonly why: string;
} {
  const annotated = annotations[DEFAULT_CONTAINER];
  if (annotated !== undefined && containers.includes(annotated))
    return { name: annotated, why: `annotation ${DEFAULT_CONTAINER}` };
  const first = containers.find((name) => !SIDECARS.has(name));
  if (first !== undefined)
    return {
      name: first,
      why: containers.length === 1 ? "the only container" : "the first that is no known sidecar",
    };
  return { name: containers[0], why: "the first container" };
}
