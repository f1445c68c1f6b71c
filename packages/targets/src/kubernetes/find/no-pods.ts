/** Why a workload has no pod at all, in words. Pure. */
import { UserError } from "@inpod/protocol";
import type { V1CronJob, V1DaemonSet, V1Job, V1StatefulSet } from "@kubernetes/client-node";

/** What deployments, ReplicaSets, StatefulSets and rollouts have in common. */
export interface Scaled {
  readonly spec?: { readonly replicas?: number; readonly paused?: boolean };
  readonly status?: {
    readonly conditions?: ReadonlyArray<{
      readonly type?: string;
      readonly status?: string;
      readonly reason?: string;
      readonly message?: string;
    }>;
  };
}

export const scaledToZero = (what: string, namespace: string): UserError =>
  new UserError("TARGET_SCALED_TO_ZERO", `${what} is scaled to zero: it has no pod`, {
    hints: [`give it one: kubectl scale ${what} --replicas=1 -n ${namespace}`],
  });

/** @param strangers pods that have its labels and belong to somebody else */
export function noPods(
  what: string,
  namespace: string,
  { spec, status }: Scaled,
  strangers: number,
): UserError {
  if (spec?.replicas === 0) return scaledToZero(what, namespace);
  // The controller's own words: a quota, Pod Security, a service account that is not there.
  const failure = status?.conditions?.find(
    (each) => each.type === "ReplicaFailure" && each.status === "True",
  );
  return without(what, namespace, failure?.message, strangers);
}

const without = (
  what: string,
  namespace: string,
  because: string | undefined,
  strangers = 0,
): UserError =>
  new UserError("TARGET_HAS_NO_PODS", `${what} has no pod${strangersText(strangers)}`, {
    hints: [`see what keeps it from making one: kubectl describe ${what} -n ${namespace}`],
    ...(because ? { cause: new Error(because) } : {}),
  });

const strangersText = (count: number): string =>
  count === 0
    ? ""
    : ` of its own: ${count === 1 ? "one has" : `${count} have`} its labels and ${count === 1 ? "belongs" : "belong"} to another workload`;

export const noStatefulSetPods = (
  what: string,
  namespace: string,
  set: V1StatefulSet,
  strangers: number,
): UserError => noPods(what, namespace, set as Scaled, strangers);

export function noDaemonPods(
  what: string,
  namespace: string,
  { status }: V1DaemonSet,
  strangers: number,
): UserError {
  if (status?.desiredNumberScheduled === 0)
    return new UserError("TARGET_HAS_NO_PODS", `${what} has no pod: no node is one for it`, {
      hints: [
        `see its nodeSelector, affinity and tolerations: kubectl describe ${what} -n ${namespace}`,
      ],
    });
  return without(what, namespace, undefined, strangers);
}

const ending = (status: V1Job["status"]) =>
  status?.conditions?.find(
    (each) => (each.type === "Complete" || each.type === "Failed") && each.status === "True",
  );

export const isOver = ({ status }: V1Job): boolean => ending(status) !== undefined;

export function noJobPods(what: string, namespace: string, { spec, status }: V1Job): UserError {
  if (spec?.suspend)
    return new UserError("TARGET_HAS_NO_PODS", `${what} is suspended: it has no pod`, {
      hints: [
        `let it run: kubectl patch ${what} -n ${namespace} --type=merge -p '{"spec":{"suspend":false}}'`,
      ],
    });
  const over = ending(status);
  if (over === undefined) return without(what, namespace, undefined);
  return new UserError(
    "TARGET_HAS_NO_PODS",
    `${what} is over (${over.type?.toLowerCase()}) and its pods are gone`,
    {
      hints: ["start it again, and name it while it runs"],
      ...(over.message ? { cause: new Error(over.message) } : {}),
    },
  );
}

export function noJobs(name: string, namespace: string, { spec }: V1CronJob): UserError {
  const what = `cronjob/${name}`;
  return new UserError(
    "TARGET_HAS_NO_PODS",
    `${what} has no job${spec?.suspend ? ": it is suspended" : ` yet: its schedule is "${spec?.schedule}"`}`,
    { hints: [runNow(name, namespace)] },
  );
}

/** Job names of at most 63 characters. */
export const runNow = (cronjob: string, namespace: string): string =>
  `run it now, and name that: kubectl create job ${cronjob.slice(0, 50)}-inpod --from=cronjob/${cronjob} -n ${namespace}`;

interface ServiceLike {
  readonly spec?: {
    readonly type?: string;
    readonly externalName?: string;
    readonly selector?: object;
  };
}

/** Undefined: it has a selector, and so may have pods. */
export function serviceWithoutPods(
  what: string,
  namespace: string,
  { spec }: ServiceLike,
): UserError | undefined {
  if (spec?.type === "ExternalName")
    return new UserError(
      "TARGET_HAS_NO_PODS",
      `${what} has no pods: it is another name for "${spec.externalName}" (ExternalName)`,
      { hints: ["name what stands behind it: inpod ls -A"] },
    );
  if (Object.keys(spec?.selector ?? {}).length > 0) return undefined;
  return new UserError("TARGET_HAS_NO_PODS", `${what} has no selector, so no pods are its own`, {
    hints: [
      `see where its endpoints lead: kubectl get endpointslices -n ${namespace} -l kubernetes.io/service-name=${what.replace(/^service\//, "")}`,
      "name one of the pods: --target pod/NAME",
    ],
  });
}

/** A Service that leads to what a session has made. @param session whose */
export const leadsToAgent = (what: string, namespace: string, session: string): UserError =>
  new UserError(
    "TARGET_HAS_NO_PODS",
    `${what} has no pods of its own: it leads to the agent of session ${session} of inpod`,
    {
      hints: [
        `see whose it is: inpod status -n ${namespace}`,
        `if it led to other pods once: inpod recover ${what.replace(/^service\//, "")} -n ${namespace}`,
      ],
    },
  );

export const noPodsWithLabels = (what: string, namespace: string, selector: string): UserError =>
  new UserError("TARGET_HAS_NO_PODS", `${what}: no pod has these labels in "${namespace}"`, {
    hints: [
      `see what is there: kubectl get pods --show-labels -n ${namespace}`,
      ...(selector.includes(",") ? ["a pod must have all of the labels"] : []),
      "look in another namespace: -n NAME",
    ],
  });
