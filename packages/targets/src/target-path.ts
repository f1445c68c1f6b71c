/** The words that name a target, read and checked; whether it is there is asked elsewhere. Pure. */
import { nearest, UserError } from "@inpod/protocol";

export const WORKLOADS = [
  "deployment",
  "statefulset",
  "daemonset",
  "replicaset",
  "rollout",
  "job",
  "cronjob",
  "service",
] as const;
export type WorkloadKind = (typeof WORKLOADS)[number];

const ENGINES = ["docker", "podman", "nerdctl"] as const;
export type ContainerEngine = (typeof ENGINES)[number];

/** `container`: undefined where the user left the choice to us. */
export type ClusterPath =
  | { readonly kind: "pod"; readonly name: string; readonly container: string | undefined }
  | { readonly kind: WorkloadKind; readonly name: string; readonly container: string | undefined }
  | {
      readonly kind: "label";
      /** A pod must have all of them. */
      readonly labels: Readonly<Record<string, string>>;
      readonly container: string | undefined;
    }
  | { readonly kind: "targetless" };

/** One that pods are behind. */
export type PodPath = Exclude<ClusterPath, { readonly kind: "targetless" }>;

export type TargetPath =
  | ClusterPath
  | { readonly kind: "process"; readonly pid: number }
  | { readonly kind: "engine"; readonly engine: ContainerEngine; readonly name: string };

/** RFC 1123 subdomain, as the API server checks a pod's name; also keeps it from changing a URL's path. */
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;
/** What engines let a container be called, or its id. */
const ENGINE_NAME = /^[a-zA-Z0-9][\w.-]{0,253}$/;
const PID = /^[1-9]\d{0,9}$/;
/** Kubernetes' "qualified name" and label value. */
const LABEL_KEY =
  /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[a-zA-Z0-9]([-\w.]{0,61}[a-zA-Z0-9])?$/;
const LABEL_VALUE = /^([a-zA-Z0-9]([-\w.]{0,61}[a-zA-Z0-9])?)?$/;

/** @throws UserError TARGET_INVALID */
export function parseTarget(text: string): TargetPath {
  const [kind = "", ...rest] = text.split("/");
  if (kind === "label") return labelPath(text, text.slice(kind.length + 1));
  const [name = "", word, container, ...more] = rest;
  const isNamed = (word === undefined || word === "container") && more.length === 0;
  if (kind === "targetless" && rest.length === 0) return { kind };
  if (kind === "process" && PID.test(name) && word === undefined)
    return { kind, pid: Number(name) };
  const engine = ENGINES.find((each) => each === kind);
  if (engine !== undefined && ENGINE_NAME.test(name) && word === undefined)
    return { kind: "engine", engine, name };
  const workload = (["pod", ...WORKLOADS] as const).find((each) => each === kind);
  if (workload !== undefined && NAME.test(name) && isNamed && isContainer(word, container))
    return { kind: workload, name, container };
  throw targetInvalid(text, kind);
}

const isContainer = (word: string | undefined, container: string | undefined): boolean =>
  word === undefined || (container !== undefined && NAME.test(container));

/** The key of a label may have a slash of its own: `label/app.kubernetes.io/name=web/container/app`. */
function labelPath(text: string, selector: string): TargetPath {
  const [, pairs = "", container] = /^(.*?)(?:\/container\/([^/]*))?$/.exec(selector) ?? [];
  const labels: [string, string][] = pairs.split(",").map((pair) => {
    const [key = "", value = "", ...more] = pair.split("=");
    if (!pair.includes("=") || !LABEL_KEY.test(key) || !LABEL_VALUE.test(value) || more.length > 0)
      throw targetInvalid(text, "label");
    return [key, value];
  });
  if (container !== undefined && !NAME.test(container)) throw targetInvalid(text, "label");
  return { kind: "label", labels: Object.fromEntries(labels), container };
}

const KNOWN = ["pod", ...WORKLOADS, "label", "targetless", "process", ...ENGINES];

/** What people write who know kubectl. */
const ABBREVIATIONS: Readonly<Record<string, string>> = {
  po: "pod",
  pods: "pod",
  deploy: "deployment",
  deployments: "deployment",
  sts: "statefulset",
  ds: "daemonset",
  rs: "replicaset",
  ro: "rollout",
  cj: "cronjob",
  svc: "service",
  services: "service",
};

/** "pods", "deploy" or "Deployment" as the kind it means; undefined when it is none that has a name in a cluster. */
export function kindOf(word: string): "pod" | WorkloadKind | undefined {
  const singular = word.toLowerCase().replace(/s$/, "");
  const meant = ABBREVIATIONS[word.toLowerCase()] ?? singular;
  return (["pod", ...WORKLOADS] as const).find((kind) => kind === meant || kind === word);
}

function targetInvalid(target: string, kind: string): UserError {
  const meant = KNOWN.includes(kind) ? undefined : (ABBREVIATIONS[kind] ?? nearest(kind, KNOWN));
  return new UserError("TARGET_INVALID", `"${target}" is no target`, {
    hints: [
      ...(meant === undefined ? [] : [`did you mean ${meant}/…?`]),
      ...(kind === "label" ? ["name labels: --target label/app=orders,tier=web"] : []),
      ...TARGET_EXAMPLES,
    ],
  });
}

export const TARGET_EXAMPLES = [
  "name a workload or a pod: --target deployment/orders, or pod/orders-7d4f",
  "and one of its containers: --target deployment/orders/container/app",
  "or, without a cluster, a container or a process: --target docker/web, podman/web, process/1234",
];
