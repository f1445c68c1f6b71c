/** Sandboxes that are no containers of the node's kernel. Pure. */
import type { TargetFacts } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";

const { note, problem } = findingsOf("target");

/** By the handler, else by the name that people give the class. */
const GVISOR = /runsc|gvisor/i;
const VIRTUAL_MACHINE = /kata|firecracker|clh|qemu|peerpod|cloud-hypervisor/i;
/** They only choose among ordinary runtimes. */
const ORDINARY = /^(runc|crun|youki|nvidia(-cdi|-legacy)?|io\.containerd\.runc\.v2)$/i;

export function judgeRuntimeClass({
  pod,
  runtimeClass,
}: Extract<TargetFacts, { kind: "found" }>): Finding[] {
  if (pod.runtimeClass === undefined) return [];
  const handler = runtimeClass?.kind === "known" ? runtimeClass.value : pod.runtimeClass;
  const said = `runtimeClass "${pod.runtimeClass}"${handler === pod.runtimeClass ? "" : `, handler ${handler}`}`;
  const hints = [
    "choose a target without it, in a test environment for instance",
    'or let the agent be a container of the pod: {"agent": {"ephemeral": true}}; --steal does not work there',
  ];
  if (GVISOR.test(handler))
    return [
      problem("gvisor", `the pod runs in gVisor (${said})`, {
        why: "its network and processes are gVisor's own: an agent on the node sees neither its files, nor its environment, and takes no traffic",
        hints,
      }),
    ];
  if (VIRTUAL_MACHINE.test(handler))
    return [
      problem("virtual-machine", `the pod runs in a virtual machine (${said})`, {
        why: "its processes are in another kernel: an agent on the node finds neither them nor their files and environment",
        hints,
      }),
    ];
  if (ORDINARY.test(handler)) return [];
  return [
    note("runtime-class", `the pod has a runtime of its own (${said})`, {
      why: "if that is a sandbox or a virtual machine, an agent on the node does not see into it",
    }),
  ];
}
