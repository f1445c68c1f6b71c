/** The node on which the agent must run, because the target does. Pure. */
import type { AgentOutlook, Amounts, Answer, NodeFacts } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";
import { isBefore, type MajorMinor, majorMinor } from "../version.ts";

const { ok, note, warning, problem } = findingsOf("agent");

/** nf_tables as the agent's rules need it. */
const OLDEST_KERNEL: MajorMinor = [4, 18];
/** As of the API server. */
const OLDEST_KUBELET: MajorMinor = [1, 21];
/** NFT_TABLE_F_OWNER: the kernel removes the rules when the agent dies, however it does. */
const OWNED_TABLES: MajorMinor = [5, 12];

export function judgeNode(
  node: NodeFacts,
  taken: Answer<Amounts>,
  agent: Pick<AgentOutlook, "asks">,
): Finding[] {
  const virtual = virtualNode(node);
  if (virtual !== undefined) return [virtual];
  if (node.operatingSystem === "windows")
    return [
      problem("node-windows", `node "${node.name}" runs Windows`, {
        why: "the agent is a Linux program, and takes traffic and files by Linux's means",
        hints: ["choose a target on a Linux node"],
      }),
    ];
  return [
    ok(
      "node",
      `node "${node.name}": ${node.osImage}, ${node.containerRuntime}, kubelet ${node.kubeletVersion}`,
    ),
    ...judgeArchitecture(node),
    ...judgeKubelet(node),
    ...judgeKernel(node),
    ...judgeConditions(node),
    ...judgeRoom(node, taken, agent),
  ];
}

/** Pods there are no processes of a node that anybody can run an agent on. */
function virtualNode({ name, labels, taints, kubeletVersion }: NodeFacts): Finding | undefined {
  const kind =
    labels["eks.amazonaws.com/compute-type"] === "fargate"
      ? "AWS Fargate"
      : labels.type === "virtual-kubelet" ||
          taints.includes("virtual-kubelet.io/provider") ||
          /-vk-/.test(kubeletVersion)
        ? "a virtual kubelet"
        : undefined;
  if (kind === undefined) return undefined;
  return problem("node-virtual", `node "${name}" is ${kind}`, {
    why: "each of its pods is a machine of its own: an agent cannot run beside the target",
    hints: ["choose a target on an ordinary node"],
  });
}

function judgeArchitecture({ name, architecture }: NodeFacts): Finding[] {
  if (architecture === "amd64" || architecture === "arm64") return [];
  return [
    problem("node-architecture", `node "${name}" is of architecture ${architecture}`, {
      why: "the agent's image is for amd64 and arm64",
      hints: ["choose a target on such a node"],
    }),
  ];
}

function judgeKernel({ name, kernelVersion }: NodeFacts): Finding[] {
  const version = majorMinor(kernelVersion);
  if (version === undefined) return [];
  if (isBefore(version, OLDEST_KERNEL))
    return [
      problem(
        "node-kernel",
        `node "${name}" has Linux ${kernelVersion}: the agent needs ${OLDEST_KERNEL.join(".")}`,
        {
          hints: ["choose a target on a newer node"],
        },
      ),
    ];
  if (isBefore(version, OWNED_TABLES))
    return [
      note(
        "node-kernel-rules",
        `node "${name}" has Linux ${kernelVersion}: rules have no owner there, from ${OWNED_TABLES.join(".")} on they have`,
        {
          why: "if every process of an agent is killed at once, its rules stay in the pod until the pod ends, and stolen ports refuse connections",
        },
      ),
    ];
  return [ok("node-kernel", `Linux ${kernelVersion}`)];
}

function judgeKubelet({ name, kubeletVersion }: NodeFacts): Finding[] {
  const version = majorMinor(kubeletVersion);
  if (version === undefined || !isBefore(version, OLDEST_KUBELET)) return [];
  return [
    warning("node-kubelet", `node "${name}" has a kubelet of ${kubeletVersion}`, {
      why: `nobody has tried inpod before ${OLDEST_KUBELET.join(".")}`,
      hints: ["choose a target on a newer node"],
    }),
  ];
}

/** Under pressure the kubelet takes no pod, or evicts some. https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/ */
const PRESSURES = ["MemoryPressure", "DiskPressure", "PIDPressure"];

function judgeConditions({ name, conditions }: NodeFacts): Finding[] {
  const ready = conditions.Ready;
  const hints = [`see its conditions and events: kubectl describe node ${name}`];
  return [
    ...(ready === undefined || ready.status === "True"
      ? []
      : [
          problem("node-not-ready", `node "${name}" is not ready`, {
            why: ready.message || "nobody there starts pods now",
            hints,
          }),
        ]),
    ...PRESSURES.filter((type) => conditions[type]?.status === "True").map((type) =>
      warning("node-pressure", `node "${name}" is under pressure (${type})`, {
        why: `${conditions[type]?.message ?? ""}; it may refuse the agent or evict it`.replace(
          /^; /,
          "",
        ),
        hints,
      }),
    ),
  ];
}

const MIB = 1024 * 1024;

/** As the kubelet counts: what pods ask for, not what they use. */
function judgeRoom(
  { name, allocatable }: NodeFacts,
  taken: Answer<Amounts>,
  { asks }: Pick<AgentOutlook, "asks">,
): Finding[] {
  if (asks === undefined) return [];
  if (taken.kind === "unknown")
    return [
      note("room-unknown", `how full node "${name}" is was not looked at`, {
        why: `you may not list the pods of all namespaces; if it is full, the agent fails at once and says so`,
      }),
    ];
  const { pods, cpu, memoryBytes } = taken.value;
  const full = [
    ...(pods + 1 > allocatable.pods ? [`${pods} of ${allocatable.pods} pods`] : []),
    // Fractions of a core do not add up exactly in binary.
    ...(cpu + asks.cpu > allocatable.cpu + 1e-6
      ? [`${round(cpu)} of ${round(allocatable.cpu)} cores`]
      : []),
    ...(memoryBytes + asks.memoryBytes > allocatable.memoryBytes
      ? [`${round(memoryBytes / MIB)} of ${round(allocatable.memoryBytes / MIB)} MiB of memory`]
      : []),
  ];
  if (full.length === 0)
    return [
      ok(
        "room",
        `${pods} of ${allocatable.pods} pods and ${round(cpu)} of ${round(allocatable.cpu)} cores are taken`,
      ),
    ];
  return [
    problem("node-full", `node "${name}" is full: ${full.join(", ")} are asked for`, {
      why: `the agent is a pod that asks for ${asks.cpu * 1000}m of a core and ${round(asks.memoryBytes / MIB)} MiB on the target's node`,
      hints: [
        "choose a pod on another node, or make room",
        'or let the agent be a container of the pod, which asks for nothing: -e, or {"agent": {"ephemeral": true}}',
      ],
    }),
  ];
}

const round = (value: number): string => String(Math.round(value * 100) / 100);
