import { isDeepStrictEqual } from "node:util";
import { hides } from "@inpod/protocol";
import type {
  AgentOptions,
  PlacedAgent,
  PublishWish,
  Replicas,
  Target,
  TargetPolicy,
} from "../api.ts";
import type { ClusterPath, PodPath } from "../target-path.ts";
import { Audit } from "./audit.ts";
import { type Cluster, type ClusterOptions, openCluster } from "./cluster.ts";
import { type FoundTarget, findTarget } from "./find/find-target.ts";
import { GOES_ON, MovingTarget, wordsOf } from "./find/moving-target.ts";
import { targetPolicy } from "./find/policy.ts";
import { podProbes } from "./find/probes.ts";
import { workloadReplicas } from "./find/replicas.ts";
import { specEnvironment } from "./find/spec-environment.ts";
import type { TargetPod } from "./find/target-pod.ts";
import { readTlsSecret } from "./find/tls-secret.ts";
import { WorkloadWatch } from "./find/workload-watch.ts";
import type { SessionFacts } from "./place/agent-command.ts";
import { jobWithoutTarget } from "./place/job-body.ts";
import { placeOnLadder } from "./place/ladder.ts";
import { whoAmI } from "./place/owner.ts";
import { placeBody } from "./place/placed-agent.ts";
import type { AgentPlacement } from "./place/placement.ts";
import type { Retry } from "./reach/retry.ts";
import { sessionPurposes } from "./reach/roles.ts";
import { checkService } from "./services/check-service.ts";
import { Publisher } from "./services/publish.ts";
import { readFront, readPolicies } from "./services/read-front.ts";
import { readDeclaredPorts, readPorts } from "./services/read-ports.ts";
import type { RelayChoice } from "./services/relay-place.ts";

export interface ClusterTargetOptions extends Omit<ClusterOptions, "retry"> {
  readonly agent: AgentPlacement;
  /** Until the agent is placed; then failures have their own meaning. */
  readonly startupRetry?: Retry | undefined;
  /** Whether a Secret with a certificate will be read. */
  readonly readsCertificates?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface KubernetesOptions extends ClusterTargetOptions {
  readonly target: PodPath;
  /** Whether the workload's other pods are wanted too, as `replicas`. */
  readonly wantsReplicas?: boolean;
  /** Whether traffic may come through a relay pod. Undefined: more than traffic is wanted. */
  readonly relay?: Omit<RelayChoice, "service"> | undefined;
}

export interface ClusterTarget extends Target {
  readonly contextName: string;
  /** Closes idle connections to the API server. Remove the agent first. */
  close(): void;
}

export interface KubernetesTarget extends ClusterTarget {
  /** Whose environment and files are the target's. */
  readonly pod: TargetPod;
  /** All ready pods of the workload, `pod` among them if it is ready. */
  readonly pods: readonly TargetPod[];
}

/**
 * Finds the target; nothing is made in the cluster before place().
 *
 * @throws UserError for everything that can be wrong with the kubeconfig, the cluster and the target
 */
export async function openKubernetes(options: KubernetesOptions): Promise<KubernetesTarget> {
  const session = await openFor(
    options,
    options.target.kind,
    options.relay !== undefined && options.relay.when !== "never",
  );
  const { cluster } = session;
  try {
    const found = await findTarget(cluster, options.target, options.signal);
    const { pod, pods, why, workload } = found;
    const { api } = cluster;
    const policy = await targetPolicy(
      cluster,
      pod.namespace,
      pod.policyPlaces,
      options.signal,
      workload,
    );
    const watch = options.wantsReplicas ? watchOf(cluster, options.target, found) : undefined;
    const moving = new MovingTarget(cluster, options.target, pod, watch);
    /** Of another pod it may be another one. */
    const policyOf = (now: TargetPod, signal: AbortSignal): Promise<TargetPolicy> | TargetPolicy =>
      now.uid === pod.uid || isDeepStrictEqual(now.policyPlaces, pod.policyPlaces)
        ? policy
        : targetPolicy(cluster, now.namespace, now.policyPlaces, signal);
    const auditOf =
      (audited: TargetPod): NonNullable<Target["audit"]> =>
      (sessionId, onRefused) => {
        const events = new Audit(api, audited, sessionId, onRefused);
        return async (reason, note) =>
          events.tell(reason, `${(await session.owner) ?? "somebody"} ${note}`);
      };
    const replicas: Replicas | undefined =
      watch &&
      workloadReplicas({
        api,
        watch,
        of: wordsOf(options.target),
        container: options.target.container,
        own: () => moving.pod.uid,
        policyOf: async (now, signal) => policyOf(now, signal),
        place: async (target, policyNow, agentOptions) => {
          const facts = { ...agentOptions, owner: await session.owner, policy: policyNow };
          const parts = { api, target, placement: options.agent, facts };
          return placeOnLadder(parts, agentOptions);
        },
        audit: auditOf,
      });
    const relay = options.relay && {
      ...options.relay,
      service: options.target.kind === "service" ? options.target.name : undefined,
    };
    let hasPlaced = false;
    /** Beside which pod it is then does not matter. */
    let isRelayed = false;
    return {
      ...(replicas && { replicas }),
      get name() {
        return moving.pod.path;
      },
      why,
      policy,
      pod,
      pods,
      volumeMounts: pod.volumeMounts,
      contextName: cluster.contextName,
      probes: () => podProbes(moving.pod.pod),
      services: {
        // The Service leads to the relay, and whether that arrives is not the pod's affair.
        front: async (ports, signal) =>
          isRelayed
            ? { kind: "none", why: "it leads to a relay pod" }
            : readFront(api, moving.pod.pod, ports, signal),
        networkPolicies: (signal) => readPolicies(api, moving.pod.pod, signal),
      },
      declaredPorts: (signal) => readDeclaredPorts(cluster, options.target, signal, moving.pod.pod),
      ports: (wishes, signal) =>
        readPorts(cluster, options.target, wishes, signal, {
          own: () => moving.pod.pod,
          pods: () => watch?.pods() ?? [],
        }),
      checkService: (to, signal) => checkService(api, pod.namespace, moving.pod.pod, to, signal),
      place: (agentOptions) =>
        session.place(agentOptions, async (facts) => {
          // A later one goes beside the container of then, and another pod may have another policy.
          const { signal, heldBeside = () => undefined } = agentOptions;
          const isHeld = (uid: string): boolean => heldBeside(uid) !== undefined;
          const now = hasPlaced ? await moving.now(signal, isHeld) : pod;
          const held = hasPlaced ? heldBeside(now.uid) : undefined;
          const parts = {
            api,
            target: now,
            placement: options.agent,
            facts: { ...facts, policy: await policyOf(now, signal) },
            relay,
          };
          const agent = held ?? (await placeOnLadder(parts, agentOptions));
          hasPlaced = true;
          isRelayed = agent.rung?.kind === "relay";
          moving.settle(now);
          return agent;
        }),
      specEnvironment: async (signal) => {
        const { variables, missing } = await specEnvironment(api, pod, signal);
        const shown = variables.filter(([name]) => !hides(policy, name));
        const count = variables.length - shown.length;
        // Their names are not said, as the agent does not say them.
        const hidden = count === 0 ? [] : [`${count} that inpod.dev/policy hides`];
        return { variables: shown, missing: [...missing, ...hidden] };
      },
      tlsSecret: (name, signal) => readTlsSecret(api, pod.namespace, name, signal),
      follow: async (observer, signal) => {
        if (!isRelayed) await moving.follow(observer, signal);
      },
      audit: auditOf(pod),
      close: () => cluster.close(),
    };
  } catch (error) {
    cluster.close();
    throw error;
  }
}

/** Of workloads whose pods all do the same work. */
const watchOf = (
  cluster: Cluster,
  { kind }: PodPath,
  { pod, pods, kin }: FoundTarget,
): WorkloadWatch | undefined =>
  kin && GOES_ON.has(kind)
    ? new WorkloadWatch(
        cluster.api,
        pod.namespace,
        kin,
        [pod, ...pods.filter(({ uid }) => uid !== pod.uid)].map((each) => each.pod),
      )
    : undefined;

export interface TargetlessOptions extends ClusterTargetOptions {
  /** A Service to lead to the agent. */
  readonly publishes?: PublishWish | undefined;
}

/** A session without a target: in a pod of the agent's namespace. Nothing is asked of the cluster before place(). */
export async function openTargetless(options: TargetlessOptions): Promise<ClusterTarget> {
  const session = await openFor(options, options.publishes ? "published" : "targetless");
  const { cluster } = session;
  const { api } = cluster;
  const namespace = options.agent.namespace ?? cluster.namespace;
  const publisher = options.publishes && new Publisher({ api, namespace, wish: options.publishes });
  return {
    name:
      options.publishes === undefined
        ? `a pod of namespace "${namespace}"`
        : `service/${options.publishes.name} in namespace "${namespace}"`,
    contextName: cluster.contextName,
    checkService: (to, signal) => checkService(api, namespace, undefined, to, signal),
    ...(publisher && { published: () => publisher.published }),
    place: (agentOptions) =>
      session.place(agentOptions, async (facts) => {
        await publisher?.mayPublish(facts, agentOptions.signal);
        const body = jobWithoutTarget(api, namespace, options.agent, facts, publisher?.role);
        return placeBody(api, publisher ? publisher.body(body, facts) : body, agentOptions);
      }),
    close: () => cluster.close(),
  };
}

interface OpenedCluster {
  readonly cluster: Cluster;
  readonly owner: Promise<string | undefined>;
  place(
    options: AgentOptions,
    work: (facts: SessionFacts) => Promise<PlacedAgent>,
  ): Promise<PlacedAgent>;
}

async function openFor(
  {
    takeTerminal = () => false,
    startupRetry,
    readsCertificates,
    agent,
    signal,
    ...options
  }: ClusterTargetOptions,
  kind: ClusterPath["kind"] | "published",
  relays = false,
): Promise<OpenedCluster> {
  // From then on the terminal is the user's program's.
  let isPlaced = false;
  const cluster = await openCluster({
    ...options,
    takeTerminal: () => !isPlaced && takeTerminal(),
    retry: () => (isPlaced ? undefined : startupRetry),
    purposes: (namespace) =>
      sessionPurposes(kind, namespace, agent.namespace, agent.ephemeral, readsCertificates, relays),
  });
  // At the same time as the target is looked for: a name that is not told costs nobody a round trip.
  const owner = whoAmI(cluster.api, signal);
  return {
    cluster,
    owner,
    place: async (agentOptions, work) => {
      const placed = await work({ ...agentOptions, owner: await owner });
      isPlaced = true;
      return placed;
    },
  };
}
