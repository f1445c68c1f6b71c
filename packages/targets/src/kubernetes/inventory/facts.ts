/** What the cluster says of an agent, as values. Pure. */
import type { V1Job, V1Pod } from "@kubernetes/client-node";

export interface AgentFacts {
  /** `pod`: one whose Job is gone. */
  readonly kind: "job" | "pod" | "ephemeral";
  readonly namespace: string;
  /** Of the Job, the pod, or the container. */
  readonly name: string;
  /** Of the Job or the pod. */
  readonly uid: string;
  readonly session: string;
  /** Who made it, as the API server knows him; undefined where nobody wrote it down. */
  readonly owner: string | undefined;
  readonly target: string | undefined;
  /** Milliseconds since the epoch; NaN where it does not say. */
  readonly createdMs: number;
  readonly deadlineMs: number;
  /** Until then its session may still be waiting for it. */
  readonly startsUntilMs: number;
  /** Where it is to be reached. */
  readonly podName: string | undefined;
  readonly port: number | undefined;
  readonly state: "waiting" | "running" | "ended";
}

const SESSION = "inpod.dev/session";
/** For an agent that does not say how long its session waits for it. */
const STARTING_MS = 120_000;
/** Names of ephemeral containers begin so. */
const EPHEMERAL = /^inpod-([a-z0-9][a-z0-9-]*)$/;

type Meta = V1Job["metadata"];

function about(meta: Meta) {
  const annotations = meta?.annotations ?? {};
  const createdMs = Date.parse(String(meta?.creationTimestamp));
  return {
    namespace: meta?.namespace ?? "",
    name: meta?.name ?? "",
    uid: meta?.uid ?? "",
    session: meta?.labels?.[SESSION] ?? "",
    owner: annotations["inpod.dev/owner"],
    target: annotations["inpod.dev/target"],
    createdMs,
    deadlineMs: Date.parse(annotations["inpod.dev/deadline"] ?? ""),
    startsUntilMs:
      Date.parse(annotations["inpod.dev/starts-until"] ?? "") || createdMs + STARTING_MS,
  };
}

function stateOf(pod: V1Pod | undefined): AgentFacts["state"] {
  const phase = pod?.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return "ended";
  const isUp = pod?.status?.containerStatuses?.some((each) => each.state?.running !== undefined);
  return phase === "Running" && isUp ? "running" : "waiting";
}

/** @param pods all of the same namespaces; those of others are left out */
export function jobAgents(jobs: readonly V1Job[], pods: readonly V1Pod[]): AgentFacts[] {
  const ours = pods.filter(
    ({ metadata }) => metadata?.labels?.["app.kubernetes.io/managed-by"] === "inpod",
  );
  const ownedBy = (uid: string | undefined) => (pod: V1Pod) =>
    pod.metadata?.ownerReferences?.some((owner) => owner.uid === uid) ?? false;
  const known = new Set(jobs.map(({ metadata }) => metadata?.uid));
  return [
    ...jobs.map((job): AgentFacts => {
      const pod = ours.find(ownedBy(job.metadata?.uid));
      const isOver = job.status?.conditions?.some(
        ({ type, status }) => /^(Complete|Failed)$/.test(type) && status === "True",
      );
      return {
        kind: "job",
        ...about(job.metadata),
        podName: pod?.metadata?.name,
        port: undefined,
        state: isOver ? "ended" : stateOf(pod),
      };
    }),
    ...ours
      .filter(({ metadata }) => !metadata?.ownerReferences?.some((owner) => known.has(owner.uid)))
      .map(
        (pod): AgentFacts => ({
          kind: "pod",
          ...about(pod.metadata),
          podName: pod.metadata?.name,
          port: undefined,
          state: stateOf(pod),
        }),
      ),
  ];
}

/** Containers of inpod in the spec of other pods, those that have ended included: their entries stay. */
export const ephemeralAgents = (pods: readonly V1Pod[]): AgentFacts[] =>
  pods.flatMap((pod) =>
    (pod.spec?.ephemeralContainers ?? []).flatMap(({ name, args = [], env = [] }) => {
      const [, session] = EPHEMERAL.exec(name) ?? [];
      if (session === undefined) return [];
      const status = pod.status?.ephemeralContainerStatuses?.find((each) => each.name === name);
      const variable = (wanted: string) => env.find((each) => each.name === wanted)?.value;
      const startedMs = Date.parse(String(status?.state?.running?.startedAt));
      const listen = Number(args[args.indexOf("--listen") + 1]);
      return [
        {
          kind: "ephemeral" as const,
          namespace: pod.metadata?.namespace ?? "",
          name,
          uid: pod.metadata?.uid ?? "",
          session,
          owner: variable("INPOD_OWNER"),
          target: `pod/${pod.metadata?.name}`,
          createdMs: startedMs,
          deadlineMs: Date.parse(variable("INPOD_DEADLINE") ?? ""),
          startsUntilMs: startedMs + STARTING_MS,
          podName: pod.metadata?.name,
          port: Number.isInteger(listen) ? listen : undefined,
          state:
            status?.state?.terminated !== undefined
              ? ("ended" as const)
              : status?.state?.running !== undefined
                ? ("running" as const)
                : ("waiting" as const),
        },
      ];
    }),
  );
