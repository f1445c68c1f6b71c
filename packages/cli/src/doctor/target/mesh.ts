/** Signs of a service mesh around the target, and what it means. Pure. */
import type { PodFacts } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";

const { note } = findingsOf("target");

interface Mesh {
  readonly name: string;
  readonly containers: readonly string[];
  readonly annotations: readonly string[];
}

/** By what their injectors leave in a pod. */
const MESHES: readonly Mesh[] = [
  { name: "Istio", containers: ["istio-proxy"], annotations: ["sidecar.istio.io/status"] },
  {
    name: "Linkerd",
    containers: ["linkerd-proxy"],
    annotations: ["linkerd.io/proxy-version"],
  },
  { name: "Kuma", containers: ["kuma-sidecar"], annotations: ["kuma.io/sidecar-injected"] },
  {
    name: "Consul",
    containers: ["consul-dataplane", "consul-connect-envoy-sidecar", "envoy-sidecar"],
    annotations: ["consul.hashicorp.com/connect-inject-status"],
  },
];

export function judgeMesh(
  { containers, annotations, labels }: PodFacts,
  namespaceLabels: Readonly<Record<string, string>>,
): Finding[] {
  const sidecars = MESHES.flatMap(({ name, ...signs }) => {
    const container = signs.containers.find((each) => containers.includes(each));
    const annotation = signs.annotations.find((each) => annotations[each] !== undefined);
    const sign =
      container !== undefined
        ? `container ${container}`
        : annotation === undefined
          ? undefined
          : `annotation ${annotation}`;
    return sign === undefined ? [] : [sidecar(name, sign)];
  });
  const mode = labels["istio.io/dataplane-mode"] ?? namespaceLabels["istio.io/dataplane-mode"];
  const isAmbient = annotations["ambient.istio.io/redirection"] === "enabled" || mode === "ambient";
  return [...sidecars, ...(isAmbient ? [ambient()] : [])];
}

const sidecar = (mesh: string, sign: string): Finding =>
  note("mesh", `the pod is in a ${mesh} mesh (${sign})`, {
    why: "what your program connects to goes through the pod's proxy with the pod's identity; by --steal come requests that the proxy has let in and decrypted, and the peer they show is the proxy",
    hints: ["a connection that must not be the mesh's: feature.network.outgoing.filter"],
  });

const ambient = (): Finding =>
  note("mesh-ambient", "the pod is in an Istio mesh without sidecars (ambient)", {
    why: "the node's ztunnel takes the pod's traffic inside its network: your program's connections have the pod's identity; nobody has tried --steal there",
    hints: ["try --steal on a pod that nobody needs first"],
  });
