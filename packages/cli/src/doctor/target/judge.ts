/** The target's pod: what a session in its place will be like. Pure. */
import type {
  Answer,
  NamespaceFacts,
  PodFacts,
  PolicyFacts,
  ProbeFacts,
  TargetFacts,
} from "@inpod/targets";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";
import type { SessionWish } from "../session-wish.ts";
import { judgeMesh } from "./mesh.ts";
import { judgeNetworkPlugin } from "./network-plugin.ts";
import { judgePolicy } from "./policy.ts";
import { judgeRuntimeClass } from "./runtime-class.ts";

const { ok, note, warning, problem } = findingsOf("target");

type Found = Extract<TargetFacts, { kind: "found" }>;

export function judgeTarget(
  facts: TargetFacts,
  namespace: Answer<NamespaceFacts | undefined>,
  wish: SessionWish,
): Finding[] {
  if (facts.kind === "not-usable") return [findingOfError("target", facts.error)];
  const { labels = {} } = (namespace.kind === "known" ? namespace.value : undefined) ?? {};
  const { pod } = facts;
  const { isStealing } = wish;
  return [
    ok("found", told(facts)),
    ...judgeState(pod),
    ...judgeHost(pod, wish),
    ...judgeRuntimeClass(facts),
    ...judgePolicy(facts.policy, isStealing),
    ...judgeMesh(pod, labels),
    ...judgeNetworkPlugin(facts),
    ...judgePolicies(facts),
    ...(isStealing ? judgeProbes(pod, wish.takesProbes) : []),
  ];
}

/** Of a pod by name everything is said already. */
const told = ({ path, why }: Found): string =>
  why.startsWith(`${path.split("/", 2).join("/")}:`) ? `${path} (${why})` : path;

function judgeState({
  name,
  namespace,
  container,
  isReady,
  restarts,
  idleReason,
}: PodFacts): Finding[] {
  const look = [
    `see why: kubectl describe pod ${name} -n ${namespace}`,
    `or what it says: kubectl logs ${name} -c ${container} -n ${namespace}`,
  ];
  if (idleReason !== undefined)
    return [
      warning(
        "waiting",
        `container "${container}" is not running now (${idleReason}), after ${restarts} restarts`,
        {
          why: "its network and volumes are there; the files of its image and its running environment are not",
          hints: look,
        },
      ),
    ];
  if (!isReady)
    return [
      warning("not-ready", `container "${container}" runs and is not ready`, {
        why: "its Services send it nothing, so nothing comes to your program by --steal either",
        hints: look,
      }),
    ];
  return [
    ok("ready", "ready"),
    ...(restarts > 0
      ? [
          note("restarts", `container "${container}" has been restarted ${restarts} times`, {
            hints: look,
          }),
        ]
      : []),
  ];
}

function judgeHost(
  { isHostNetwork, hasOwnUsers, node }: PodFacts,
  { isStealing, allowsHostNetwork }: SessionWish,
): Finding[] {
  const found: Finding[] = [];
  const what = `the pod uses the network of its node "${node ?? ""}"`;
  if (isHostNetwork && isStealing && !allowsHostNetwork)
    found.push(
      problem("host-network-steal", what, {
        why: "--steal would take a port of the whole node, from every pod that shares its network: the agent refuses",
        hints: [
          "choose a pod with a network of its own",
          "or say that you mean it: --allow-host-network",
        ],
      }),
    );
  else if (isHostNetwork)
    found.push(
      warning("host-network", what, {
        why: "what your program connects to it reaches as the node; a port that is stolen is the whole node's",
      }),
    );
  if (hasOwnUsers)
    found.push(
      warning("own-users", "the pod has users of its own (hostUsers: false)", {
        why: "nobody has tried inpod with such pods: the agent's ids and the target's are not the same",
      }),
    );
  return found;
}

function judgePolicies({ policies }: Found): Finding[] {
  if (policies.kind === "unknown")
    return [note("policies-unknown", "NetworkPolicies were not looked at", { why: policies.why })];
  const outgoing = policies.value.filter(({ limitsOutgoing }) => limitsOutgoing);
  const incoming = policies.value.filter(({ limitsIncoming }) => limitsIncoming);
  return [
    ...(outgoing.length === 0 ? [] : [limitedOutgoing(outgoing)]),
    ...(incoming.length === 0
      ? []
      : [
          note(
            "policies-incoming",
            `who may reach the pod is limited by NetworkPolicy ${names(incoming)}`,
            {
              why: "only those come to your program by --steal",
            },
          ),
        ]),
  ];
}

const names = (policies: readonly PolicyFacts[]): string =>
  policies.map(({ name }) => `"${name}"`).join(", ");

/** Policies add up: what one allows, is allowed. */
function limitedOutgoing(policies: readonly PolicyFacts[]): Finding {
  const why =
    "your program connects from the pod, so they hold for it; what this machine reaches otherwise, it does not";
  const hints = [
    "to connect from this machine for some: feature.network.outgoing.filter in the configuration",
  ];
  if (policies.every(({ deniesOutgoing }) => deniesOutgoing))
    return warning(
      "policies-outgoing",
      `nothing may leave the pod: NetworkPolicy ${names(policies)}, name servers included`,
      { why, hints },
    );
  return note(
    "policies-outgoing",
    `what leaves the pod is limited by NetworkPolicy ${names(policies)}`,
    { why, hints },
  );
}

/** Whoever stops at a breakpoint answers no probe: they stay with the pod unless the program wants them. */
function judgeProbes({ probes, ports }: PodFacts, takesProbes: boolean): Finding[] {
  const ofPorts = probes.filter(({ port }) => port !== undefined);
  if (ofPorts.length === 0) return [];
  const numberOf = (port: string): string => {
    const named = ports.find(({ name }) => name === port);
    return named === undefined ? port : `${named.number} (${port})`;
  };
  const list = ofPorts.map(
    ({ kind, port = "", patienceSeconds }: ProbeFacts) =>
      `${kind} on port ${numberOf(port)} for ${patienceSeconds} s`,
  );
  if (!takesProbes)
    return [
      note(
        "probes",
        `the pod goes on answering its probes, on stolen ports too: ${list.join(", ")}`,
        {
          why: "failing for so long they take it out of its Services (readiness), or restart its container",
          hints: ["to have them answered by your program: feature.network.incoming.probes: true"],
        },
      ),
    ];
  const kills = ofPorts.some(({ kind }) => kind !== "readiness");
  return [
    note("probes", `a port that is stolen answers its probes by your program: ${list.join(", ")}`, {
      why: `failing for so long ${kills ? "restarts the pod's container (liveness)" : ""}${kills ? ", or " : ""}takes the pod out of its Services (readiness): a breakpoint can be enough`,
      hints: [
        "answer them in your program, or leave them to the pod: without feature.network.incoming.probes",
      ],
    }),
  ];
}
