/** A target that was found before, as it is now. */
import { UserError } from "@inpod/protocol";
import type { V1Pod } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { readPod } from "../reach/read-pod.ts";
import { describePod, type TargetPod } from "./target-pod.ts";

/** @throws UserError TARGET_GONE, TARGET_NOT_RUNNING, and those of the API */
export async function sameTarget(
  api: ApiClient,
  { namespace, name, uid, container }: TargetPod,
  signal: AbortSignal,
): Promise<TargetPod> {
  let pod: V1Pod;
  try {
    pod = await readPod(api, namespace, name, signal);
  } catch (error) {
    throw isNotFound(error) ? targetGone(name, "deleted") : explain(error);
  }
  // A StatefulSet makes another one of the same name: with another environment, perhaps.
  if (pod.metadata?.uid !== uid) throw targetGone(name, "replaced by another one of this name");
  return describePod(pod, container);
}

/** In the words of whoever follows it (follow-target.ts). */
const targetGone = (name: string, what: string): UserError =>
  new UserError("TARGET_GONE", `pod/${name} was ${what}`);
