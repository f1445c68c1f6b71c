/** Which network plugin the target's node has, by its pods and what it writes at the node. Pure. */
import type { TargetFacts } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";

const { ok, note } = findingsOf("target");

interface Plugin {
  readonly name: string;
  /** `key=value` of a label of its pods on each node. */
  readonly label: string;
  /** How annotations or labels of a node begin that it has configured. */
  readonly prefix: string;
  readonly why?: string;
}

const PLUGINS: readonly Plugin[] = [
  {
    name: "Cilium",
    label: "k8s-app=cilium",
    prefix: "network.cilium.io/",
    why: "its policies, CiliumNetworkPolicy among them, hold for what your program connects to, because it leaves from the pod; where Cilium replaces kube-proxy it resolves Services at connect, for the agent as for the pod",
  },
  {
    name: "Calico",
    label: "k8s-app=calico-node",
    prefix: "projectcalico.org/",
    why: "its policies, GlobalNetworkPolicy among them, hold for what your program connects to, because it leaves from the pod",
  },
  { name: "Antrea", label: "component=antrea-agent", prefix: "node.antrea.io/" },
  { name: "Flannel", label: "app=flannel", prefix: "flannel.alpha.coreos.com/" },
  { name: "Weave Net", label: "name=weave-net", prefix: "weave.works/" },
  { name: "Amazon VPC CNI", label: "k8s-app=aws-node", prefix: "vpc.amazonaws.com/" },
  { name: "kindnet", label: "k8s-app=kindnet", prefix: "kindnet.io/" },
];

export function judgeNetworkPlugin({
  node,
  nodePods,
}: Extract<TargetFacts, { kind: "found" }>): Finding[] {
  const marks =
    node.kind === "known"
      ? [...Object.keys(node.value.annotations), ...Object.keys(node.value.labels)]
      : [];
  const pods = nodePods.kind === "known" ? nodePods.value : [];
  const found = PLUGINS.filter(({ label, prefix }) => {
    const [key = "", value] = label.split("=");
    return (
      pods.some(({ labels }) => labels[key] === value) ||
      marks.some((mark) => mark.startsWith(prefix))
    );
  });
  return found.map(({ name, why }) =>
    why === undefined
      ? ok("network-plugin", `network by ${name}`)
      : note("network-plugin", `the node's network is made by ${name}`, { why }),
  );
}
