/** Which rights each thing that inpod does in a cluster uses, and the smallest Role with them. Pure. */
import { WORKLOADS, type WorkloadKind } from "../../target-path.ts";

export const VERBS = ["get", "list", "watch", "create", "update", "patch", "delete"] as const;
export type ApiVerb = (typeof VERBS)[number];

export interface Right {
  readonly verb: ApiVerb;
  /** "" for the core group. */
  readonly group: string;
  readonly resource: string;
  readonly subresource?: string;
  /** For people, lower case: "ends the agent". */
  readonly why: string;
  /** Without an optional one inpod works, and knows less. */
  readonly needed: "always" | "optional";
}

/** `find …` is done in the target's namespace, `place …` in the agent's, which is the same unless told. */
export type Operation =
  | `find ${"pod" | "label" | WorkloadKind}`
  | `list ${"pod" | WorkloadKind}`
  | "place job"
  | "place ephemeral"
  | "place relay"
  | "publish service"
  | "recover"
  | "join agent"
  | "read policy"
  | "write events"
  | "see services"
  | "see ports"
  | "read variables"
  | "read certificates"
  | "clean"
  | "verify"
  | "status"
  | "examine"
  | "examine nodes"
  | "name namespaces";

/** An operation at a place. */
export interface Purpose {
  readonly operation: Operation;
  /** Undefined: in all of them, or the resource has none. */
  readonly namespace: string | undefined;
}

const right = (
  needed: Right["needed"],
  verbs: string,
  group: string,
  resource: string,
  why: string,
): Right[] =>
  verbs.split(" ").map((verb) => {
    const [name = "", subresource] = resource.split("/");
    return {
      verb: verb as ApiVerb,
      group,
      resource: name,
      ...(subresource === undefined ? {} : { subresource }),
      why,
      needed,
    };
  });
const always = right.bind(null, "always");
const optional = right.bind(null, "optional");

/** Where the API server keeps a kind. */
export const RESOURCES: Readonly<
  Record<"pod" | WorkloadKind, { group: string; version?: string; resource: string }>
> = {
  pod: { group: "", resource: "pods" },
  deployment: { group: "apps", resource: "deployments" },
  statefulset: { group: "apps", resource: "statefulsets" },
  daemonset: { group: "apps", resource: "daemonsets" },
  replicaset: { group: "apps", resource: "replicasets" },
  rollout: { group: "argoproj.io", version: "v1alpha1", resource: "rollouts" },
  job: { group: "batch", resource: "jobs" },
  cronjob: { group: "batch", resource: "cronjobs" },
  service: { group: "", resource: "services" },
};

const tellWhy = optional(
  "list",
  "",
  "events",
  "the cluster's own words for a pod that does not run",
);
/** Of the agent's own pod it is needed; where the target is in another namespace a session works without. */
const followTarget = optional(
  "watch",
  "",
  "pods",
  "a container of the target that is started again is seen",
);
const followPods = optional(
  "watch",
  "",
  "pods",
  "pods that come and go, and containers that are started again, are seen",
);
const readWorkload = (kind: WorkloadKind): Right[] => {
  const { group, resource } = RESOURCES[kind];
  return [
    ...always("get", group, resource, "its selector says which pods are its own"),
    ...always("list", "", "pods", "one of its pods is the target"),
    ...followPods,
    ...optional("list", group, resource, "a misspelt name gets the right one"),
    ...tellWhy,
  ];
};
const listKind = (kind: "pod" | WorkloadKind): Right[] => [
  ...always("list", RESOURCES[kind].group, RESOURCES[kind].resource, `lists what is ${kind}/…`),
  ...optional("list", "", "pods", "tells how many pods are ready, and why none can be used"),
];
const listOwners = optional("list", "apps", "replicasets", "tells which pods a deployment has");
const newestRevision = optional(
  "list",
  "apps",
  "replicasets",
  "in the middle of a rollout the pod is of the newest revision",
);
/** How an agent's pod is reached and followed, however it was made. */
const reachAgent = [
  ...always("watch", "", "pods", "follows the agent's pod"),
  ...optional(
    "get",
    "",
    "pods",
    "sees that the agent was deleted while the cluster was not reached",
  ),
  // Before Kubernetes 1.35 a WebSocket is a get; since then it takes create as well.
  ...always("get create", "", "pods/portforward", "reaches the agent"),
];

export const RIGHTS: Readonly<Record<Operation, readonly Right[]>> = {
  "find pod": [
    ...always("get", "", "pods", "reads the target"),
    ...optional("list", "", "pods", "a misspelt name gets the right one"),
    ...followTarget,
    ...tellWhy,
  ],
  "find label": [
    ...always("list", "", "pods", "one of these pods is the target"),
    ...followPods,
    ...tellWhy,
  ],
  "find deployment": [...readWorkload("deployment"), ...newestRevision],
  "find statefulset": readWorkload("statefulset"),
  "find daemonset": readWorkload("daemonset"),
  "find replicaset": readWorkload("replicaset"),
  "find rollout": [
    ...readWorkload("rollout"),
    ...newestRevision,
    ...optional("get", "apps", "deployments", "a rollout with workloadRef has another's selector"),
  ],
  "find job": readWorkload("job"),
  "find cronjob": [
    ...readWorkload("cronjob"),
    ...always("list", "batch", "jobs", "a cronjob's pods are those of its newest job"),
  ],
  "find service": readWorkload("service"),
  "list pod": listKind("pod"),
  "list deployment": [...listKind("deployment"), ...listOwners],
  "list statefulset": listKind("statefulset"),
  "list daemonset": listKind("daemonset"),
  "list replicaset": listKind("replicaset"),
  "list rollout": [...listKind("rollout"), ...listOwners],
  "list job": listKind("job"),
  "list cronjob": [
    ...listKind("cronjob"),
    ...optional("list", "batch", "jobs", "tells which pods a cronjob has"),
  ],
  "list service": listKind("service"),
  "place job": [
    ...always("create delete", "batch", "jobs", "the agent is a job, made and removed"),
    ...reachAgent,
    ...optional("create", "", "pods", "asks by a dry run whether the agent would be let in"),
    ...optional("get", "", "pods/log", "tells why an agent ended"),
    ...optional("watch", "", "events", "a quicker start, and the cluster's own words for failures"),
  ],
  "place ephemeral": [
    ...always("patch", "", "pods/ephemeralcontainers", "the agent is a container of the target"),
    ...reachAgent,
    ...optional("get", "", "pods/log", "tells why an agent ended"),
    ...optional("watch", "", "events", "a quicker start, and the cluster's own words for failures"),
  ],
  "place relay": [
    ...always("create delete patch", "batch", "jobs", "the relay pod is a job, made and removed"),
    ...always(
      "get patch create",
      "",
      "services",
      "the Service leads to the relay pod and back; another one leads to the pods meanwhile",
    ),
    ...optional("watch", "", "services", "tells when somebody else changes the Service"),
    ...optional(
      "create patch",
      "",
      "serviceaccounts",
      "the relay pod gives the Service back by itself; without, agent.relay_pod.unattended is needed",
    ),
    ...optional(
      "create patch",
      "rbac.authorization.k8s.io",
      "roles",
      "the relay pod gives the Service back by itself; without, agent.relay_pod.unattended is needed",
    ),
    ...optional(
      "create patch",
      "rbac.authorization.k8s.io",
      "rolebindings",
      "the relay pod gives the Service back by itself; without, agent.relay_pod.unattended is needed",
    ),
    ...reachAgent,
  ],
  "publish service": [
    ...always("get create patch delete", "", "services", "the Service is made and removed"),
    ...optional("watch", "", "services", "sees its external address when it comes"),
    ...always("create delete", "batch", "jobs", "the agent is a job, made and removed"),
    ...reachAgent,
  ],
  recover: [
    ...always("list get patch", "", "services", "gives Services their selector back"),
    ...optional("list delete", "batch", "jobs", "finds and removes the relay pod"),
    ...optional("list", "", "pods", "sees whether the relay pod still runs"),
    ...optional("get create", "", "pods/portforward", "asks a relay pod who uses it"),
  ],
  "join agent": [
    ...optional("list patch", "", "pods", "joins an agent that runs already, by adding its key"),
    ...reachAgent,
  ],
  "read policy": [
    ...optional("get", "", "namespaces", "its annotation inpod.dev/policy is obeyed"),
    ...optional("get", "apps", "deployments", "the workload's inpod.dev/policy is obeyed"),
    ...optional("get", "apps", "statefulsets", "the workload's inpod.dev/policy is obeyed"),
    ...optional("get", "apps", "daemonsets", "the workload's inpod.dev/policy is obeyed"),
  ],
  "write events": optional(
    "create",
    "events.k8s.io",
    "events",
    "the target's events tell who was there",
  ),
  "see services": [
    ...optional("list", "", "services", "it is tried whether what is sent to them arrives"),
    ...optional(
      "list",
      "discovery.k8s.io",
      "endpointslices",
      "tells whether a Service sends to the target now",
    ),
    ...optional("list", "networking.k8s.io", "networkpolicies", "tells which of them hold the pod"),
  ],
  "see ports": optional(
    "get",
    "",
    "services",
    "`forward` refuses a port that a Service does not have before anything is made",
  ),
  "read variables": [
    ...optional(
      "get",
      "",
      "configmaps",
      "the spec's variables, where the target's process shows none",
    ),
    ...optional(
      "get",
      "",
      "secrets",
      "the spec's variables, where the target's process shows none",
    ),
  ],
  "read certificates": always(
    "get",
    "",
    "secrets",
    "the certificate of feature.network.incoming.tls is there",
  ),
  verify: [
    ...optional("list", "", "services", "sees which of them lead to a relay pod"),
    ...always("list", "batch", "jobs", "finds agents"),
    ...always("list", "", "pods", "sees whether an agent still runs"),
    ...optional("get create", "", "pods/portforward", "asks an agent that runs who uses it"),
  ],
  status: [
    ...always("list", "batch", "jobs", "finds agents"),
    ...always("list", "", "pods", "sees whether an agent still runs"),
    ...optional("get create", "", "pods/portforward", "asks an agent whose ports are whose"),
    ...optional("patch", "", "pods", "is let in by an agent that it asks"),
    ...optional("list", "", "services", "tells which Service is whose"),
  ],
  clean: [
    ...always("list delete", "batch", "jobs", "finds and removes agents that nobody holds"),
    ...always("list", "", "pods", "sees whether an agent still runs"),
    ...optional("get create", "", "pods/portforward", "asks an agent that runs who uses it"),
    ...optional("delete", "", "pods", "removes an agent's pod whose job is gone"),
    ...optional("list get patch", "", "services", "gives back Services of dead relay pods"),
  ],
  examine: [
    ...optional("create", "", "pods", "asks by a dry run whether an agent would be let in"),
    ...optional("list", "networking.k8s.io", "networkpolicies", "tells which of them hold the pod"),
  ],
  "examine nodes": [
    ...optional("get", "", "nodes", "tells what the target's node is, and whether it has room"),
    ...optional("list", "", "pods", "counts what runs on the target's node"),
    ...optional("get", "node.k8s.io", "runtimeclasses", "tells of sandboxed containers"),
  ],
  "name namespaces": optional("get list", "", "namespaces", "a misspelt name gets the right one"),
};

/** Each once; one that any operation needs always is needed always. */
export function rightsFor(operations: Iterable<Operation>): Right[] {
  const found = new Map<string, Right>();
  for (const operation of operations) {
    for (const each of RIGHTS[operation]) {
      const key = [each.verb, each.group, each.resource, each.subresource].join("|");
      if (found.get(key)?.needed !== "always") found.set(key, each);
    }
  }
  return [...found.values()];
}

/**
 * What a session on a target of this kind does; `targetless` finds nothing.
 *
 * `published` is without a target as well, and has a Service.
 *
 * @param isEphemeral the user has said yes to a container in the target's pod
 * @param readsCertificates there are some in Secrets of the target's namespace
 * @param relays traffic may come through a relay pod
 */
export function sessionPurposes(
  kind: "pod" | "label" | WorkloadKind | "targetless" | "published",
  namespace: string,
  agentNamespace: string | undefined,
  isEphemeral = false,
  readsCertificates = false,
  relays = false,
): Purpose[] {
  if (kind === "published")
    return [{ operation: "publish service", namespace: agentNamespace ?? namespace }];
  const place: Purpose =
    isEphemeral && kind !== "targetless"
      ? { operation: "place ephemeral", namespace }
      : { operation: "place job", namespace: agentNamespace ?? namespace };
  return [
    ...(kind === "targetless" ? [] : [{ operation: `find ${kind}` as const, namespace }]),
    place,
    ...(kind === "targetless"
      ? [{ operation: "see ports" as const, namespace }]
      : [
          ...(["read policy", "write events", "see services", "see ports"] as const).map(
            (operation) => ({
              operation,
              namespace,
            }),
          ),
          { operation: "join agent" as const, namespace: agentNamespace ?? namespace },
          ...(relays ? [{ operation: "place relay" as const, namespace }] : []),
          ...(readsCertificates ? [{ operation: "read certificates" as const, namespace }] : []),
        ]),
  ];
}

/** @param kinds undefined: all. @param namespace undefined: all of them */
export function listPurposes(
  kinds: readonly ("pod" | WorkloadKind)[] | undefined,
  namespace: string | undefined,
): Purpose[] {
  const wanted = kinds ?? (["pod", ...WORKLOADS] as const);
  return wanted.map((kind) => ({ operation: `list ${kind}` as const, namespace }));
}

/** Those of one place, in words for an error or a Role. `namespace` undefined: the whole cluster's. */
export const rightsAt = (purposes: readonly Purpose[], namespace: string | undefined): Right[] =>
  rightsFor(
    purposes.filter((each) => each.namespace === namespace).map(({ operation }) => operation),
  );

/**
 * A Role, or a ClusterRole when there is no namespace, as YAML to apply. Optional rights come last,
 * with a comment that says what they are for, so that they can be left out.
 */
export function roleYaml(rights: readonly Right[], namespace: string | undefined): string {
  const needed = rights.filter((each) => each.needed === "always");
  const rest = rights.filter((each) => each.needed === "optional");
  return [
    "apiVersion: rbac.authorization.k8s.io/v1",
    ...(namespace === undefined
      ? ["kind: ClusterRole", "metadata: {name: inpod}"]
      : ["kind: Role", `metadata: {name: inpod, namespace: ${namespace}}`]),
    "rules:",
    ...rules(needed).map(({ text }) => text),
    ...rules(rest).flatMap(({ text, whys }) => [`# optional: ${whys.join("; ")}`, text]),
  ].join("\n");
}

/** One rule for each resource, in the order in which they are first named. */
function rules(rights: readonly Right[]): { text: string; whys: string[] }[] {
  const byResource = new Map<string, Right[]>();
  for (const each of rights) {
    const { group, resource, subresource } = each;
    const name = subresource === undefined ? resource : `${resource}/${subresource}`;
    const key = `apiGroups: [${group || '""'}], resources: [${name}]`;
    byResource.set(key, [...(byResource.get(key) ?? []), each]);
  }
  return [...byResource].map(([key, of]) => ({
    text: `- {${key}, verbs: [${of.map(({ verb }) => verb).join(", ")}]}`,
    whys: [...new Set(of.map(({ why }) => why))],
  }));
}
