/** `target` in its three ways to write: a path, an object with a path, an object with a key for the kind. */
import * as z from "zod";
import { works } from "./keys.ts";
import { dnsLabel, labels, objectName } from "./kubernetes-values.ts";
import { section, shortOr } from "./values.ts";

/** Key of the file → first word of the path. */
const KINDS = {
  pod: "pod",
  deployment: "deployment",
  rollout: "rollout",
  job: "job",
  cron_job: "cronjob",
  stateful_set: "statefulset",
  service: "service",
  replica_set: "replicaset",
  daemon_set: "daemonset",
} as const;
type Kind = keyof typeof KINDS;
const kinds = Object.keys(KINDS) as Kind[];

const INTO = { into: "target.path" };
const kind = (what: string) => works(objectName, `name of ${what} in whose place to be`, INTO);

const WHAT_LABELS = "an object of labels and their values, or a string as in app=orders,tier=web";
const selector = z.union(
  [
    labels.refine((all) => Object.keys(all).length > 0),
    z
      .string()
      .regex(/^[^=,\s]+=[^=,\s]*(?:,[^=,\s]+=[^=,\s]*)*$/)
      .transform((pairs) =>
        Object.fromEntries(pairs.split(",").map((pair) => pair.split("=") as [string, string])),
      )
      .pipe(labels),
  ],
  { error: WHAT_LABELS },
);

const typed = {
  pod: kind("the pod"),
  deployment: kind("the Deployment"),
  rollout: kind("the Argo Rollout"),
  job: kind("the Job"),
  cron_job: kind("the CronJob"),
  stateful_set: kind("the StatefulSet"),
  service: kind("the Service"),
  replica_set: kind("the ReplicaSet"),
  daemon_set: kind("the DaemonSet"),
  labels: works(selector, "labels of the pods in whose place to be", INTO),
  container: works(dnsLabel, "one of the pod's containers, beside a kind", INTO),
};

type Named = { readonly [Name in Kind | "container"]?: string | undefined } & {
  readonly labels?: Readonly<Record<string, string>> | undefined;
};
const kindsIn = (target: Named): string[] =>
  [...kinds, "labels" as const].filter((each) => target[each] !== undefined);
const oneKind = (target: Named): boolean => kindsIn(target).length <= 1;
const noLoneContainer = (target: Named): boolean =>
  target.container === undefined || kindsIn(target).length > 0;
const ONE_KIND = { error: "an object that names one kind of target" };
const NO_LONE_CONTAINER = {
  error: "a container beside pod, deployment or the like (in a path: pod/NAME/container/NAME)",
};

/** The same in `path`, as older files of mirrord have it: not told of a second time. */
const again = Object.fromEntries(
  Object.entries(typed).map(([name, schema]) => [name, schema.unwrap().optional()]),
) as typeof typed;
const typedPath = section(again)
  .refine((target) => kindsIn(target).length > 0, ONE_KIND)
  .refine(oneKind, ONE_KIND)
  .refine(noLoneContainer, NO_LONE_CONTAINER);

const WHAT_PATH = "a path (pod/NAME, deployment/NAME, label/KEY=VALUE), or an object";
const path = z.string({ error: WHAT_PATH }).min(1, { error: WHAT_PATH });

export const target = shortOr(
  path,
  section({
    path: works(
      shortOr(path, typedPath),
      "pod/NAME, deployment/NAME, label/KEY=VALUE, targetless and so on, each with /container/NAME after it",
    ),
    namespace: works(dnsLabel, "namespace of the target; the default is the context's"),
    ...typed,
  })
    .refine((target) => kindsIn(target).length === 0 || target.path === undefined, {
      error: "a path or a kind of target, not both",
    })
    .refine(oneKind, ONE_KIND)
    .refine(noLoneContainer, NO_LONE_CONTAINER),
);

type Target = z.output<typeof target>;

/** The path of `deployment/NAME/container/NAME` and the like, and the namespace, of whatever way it was written. */
export function targetOf(said: Target | undefined): { path?: string; namespace?: string } {
  if (said === undefined) return {};
  if (typeof said === "string") return { path: said };
  const { path: inner, namespace, ...named } = said;
  const path = typeof inner === "string" ? inner : pathOf(inner ?? named);
  return {
    ...(path === undefined ? {} : { path }),
    ...(namespace === undefined ? {} : { namespace }),
  };
}

function pathOf(named: Named): string | undefined {
  const container = named.container === undefined ? "" : `/container/${named.container}`;
  const key = kinds.find((each) => named[each] !== undefined);
  if (key !== undefined) return `${KINDS[key]}/${named[key]}${container}`;
  if (named.labels === undefined) return undefined;
  const pairs = Object.entries(named.labels).map(([name, value]) => `${name}=${value}`);
  return `label/${pairs.join(",")}${container}`;
}
