import { UserError } from "@inpod/protocol";
import { nearest } from "../nearest.ts";

/** `pod/NAME[/container/C]` */
export interface PodPath {
  readonly pod: string;
  readonly container: string | undefined;
}

/** Workloads that a later version follows to their pods. */
const LATER = [
  "deployment",
  "statefulset",
  "daemonset",
  "replicaset",
  "rollout",
  "job",
  "cronjob",
  "service",
  "label",
  "targetless",
];

/** RFC 1123 subdomain, as the API server checks a pod's name; also keeps it from changing a URL's path. */
const NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

/** @throws UserError TARGET_NOT_YET, TARGET_INVALID */
export function parsePodPath(path: string): PodPath {
  const [kind = "", pod = "", word, container, ...rest] = path.split("/");
  if (LATER.includes(kind)) throw targetNotYet(kind);
  if (kind !== "pod") throw targetInvalid(path, nearest(kind, ["pod", ...LATER], 1)[0]);
  if (!NAME.test(pod) || rest.length > 0) throw targetInvalid(path);
  if (word === undefined) return { pod, container: undefined };
  if (word !== "container" || container === undefined || !NAME.test(container))
    throw targetInvalid(path);
  return { pod, container };
}

const targetNotYet = (kind: string): UserError =>
  new UserError("TARGET_NOT_YET", `not yet: ${kind}/… as a target (pod/… works)`, {
    hints: [
      "name one of its pods: --target pod/NAME",
      "see which there are: kubectl get pods --show-labels",
    ],
  });

const targetInvalid = (path: string, meant?: string): UserError =>
  new UserError("TARGET_INVALID", `"${path}" is no target`, {
    hints: [
      ...(meant === undefined ? [] : [`did you mean ${meant}/…?`]),
      "name a pod, and a container if you like: --target pod/NAME/container/NAME",
    ],
  });
