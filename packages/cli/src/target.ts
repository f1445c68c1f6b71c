/** What can be a target, judged before anything is asked of a cluster. */
import { UserError } from "@inpod/protocol";
import { nearest } from "./nearest.ts";

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
  "docker",
  "podman",
];

/** RFC 1123 subdomain, as the API server checks a pod's name. */
const NAME = "[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?";
const POD = new RegExp(`^pod/${NAME}(?:/container/${NAME})?$`);
const PROCESS = /^process\/[1-9]\d{0,9}$/;

/** @throws UserError TARGET_MISSING, TARGET_NOT_YET, TARGET_INVALID */
export function checkTarget(target: string | undefined): string {
  if (target === undefined) throw targetMissing();
  if (POD.test(target) || PROCESS.test(target)) return target;
  const [kind = ""] = target.split("/");
  if (LATER.includes(kind)) throw targetNotYet(kind);
  throw targetInvalid(target, kind);
}

const EXAMPLES = [
  "name a pod: --target pod/orders-7d4f",
  "and one of its containers: --target pod/orders-7d4f/container/app",
  "or a process of this machine: --target process/1234",
];

const targetMissing = (): UserError =>
  new UserError("TARGET_MISSING", "no target: whose place is the command to take?", {
    hints: [
      ...EXAMPLES,
      'or write it down once in .inpod/inpod.json: {"target": "pod/orders-7d4f"}',
    ],
  });

const targetNotYet = (kind: string): UserError =>
  new UserError("TARGET_NOT_YET", `${kind} as a target is not supported yet`, {
    hints: ["name one of the pods: --target pod/NAME", "see which there are: kubectl get pods"],
  });

function targetInvalid(target: string, kind: string): UserError {
  const known = ["pod", "process", ...LATER];
  const meant = known.includes(kind) ? undefined : nearest(kind, known);
  return new UserError("TARGET_INVALID", `"${target}" is no target`, {
    hints: [...(meant === undefined ? [] : [`did you mean ${meant}/…?`]), ...EXAMPLES],
  });
}
