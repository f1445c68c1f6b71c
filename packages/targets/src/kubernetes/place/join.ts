/**
 * Joining an agent that runs already: the joiner writes his session's public key into an annotation of its pod, which
 * takes the right to patch pods there. A session that the agent serves sees it in its watch and has the agent admit
 * him. So the cluster decides who may, and the agent needs no right to ask it.
 */
import type { V1Pod } from "@kubernetes/client-node";
import type { AgentRung, Joiner } from "../../api.ts";
import type { TargetPod } from "../find/target-pod.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { isForbidden, isNotFound } from "../reach/api-errors.ts";
import { listAll } from "../reach/list.ts";
import type { AgentBody } from "./agent-body.ts";
import type { SessionFacts } from "./agent-command.ts";
import { AGENT_PORT, CONTAINER } from "./job-spec.ts";
import { OWNER_ANNOTATION, SESSION_LABEL, targetLabels } from "./labels.ts";

/** `inpod.dev/key.SESSION: KEY OWNER` */
const KEY_PREFIX = "inpod.dev/key.";
/** Of one pod: more sessions than an agent takes. */
const MAX_JOINERS = 64;
const MAX_OWNER = 256;

/**
 * The agent's pod beside the same container, of the same image, that serves somebody now; undefined: none, or none
 * that the user may see.
 */
export async function findRunningAgent(
  api: ApiClient,
  namespace: string,
  target: TargetPod,
  image: string,
  signal: AbortSignal,
): Promise<V1Pod | undefined> {
  const labels = { "app.kubernetes.io/managed-by": "inpod", ...targetLabels(target) };
  const labelSelector = Object.entries(labels)
    .map((pair) => pair.join("="))
    .join(",");
  const call = { group: "", resource: "pods", namespace } as const;
  try {
    const pods = await listAll<V1Pod>(api, call, { labelSelector, signal });
    return pods.find((pod) => isJoinable(pod, target, image));
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
}

/** Pure. */
export function isJoinable(pod: V1Pod, target: TargetPod, image: string): boolean {
  const { metadata = {}, spec, status } = pod;
  return (
    metadata.deletionTimestamp === undefined &&
    metadata.annotations?.["inpod.dev/target"] === target.path &&
    spec?.nodeName === target.node &&
    spec.containers.some((each) => each.name === CONTAINER && each.image === image) &&
    status?.containerStatuses?.some(
      (each) => each.name === CONTAINER && each.state?.running !== undefined,
    ) === true
  );
}

/** Pure. Foreign text: what is no key is left out. */
export const joinersOf = ({ metadata }: V1Pod): Joiner[] =>
  Object.entries(metadata?.annotations ?? {})
    .flatMap(([name, value]) => {
      const sessionId = name.startsWith(KEY_PREFIX) ? name.slice(KEY_PREFIX.length) : "";
      const [, publicKey, owner] = /^([A-Za-z0-9+/]{43}=) (.{0,256})$/.exec(value) ?? [];
      if (!/^[a-z0-9-]{1,64}$/.test(sessionId) || publicKey === undefined) return [];
      return [{ sessionId, publicKey, owner: owner ?? "" }];
    })
    .slice(0, MAX_JOINERS);

interface KeyPlace {
  readonly api: ApiClient;
  readonly namespace: string;
  /** The agent's pod. */
  readonly name: string;
  readonly sessionId: string;
}

/** @param publicKey Ed25519, raw, base64 */
export const writeKey = (
  place: KeyPlace,
  { publicKey, owner = "" }: { readonly publicKey: string; readonly owner?: string | undefined },
  signal?: AbortSignal,
): Promise<unknown> => annotate(place, `${publicKey} ${owner.slice(0, MAX_OWNER)}`, signal);

export const removeKey = (place: KeyPlace, signal?: AbortSignal): Promise<unknown> =>
  annotate(place, null, signal);

const annotate = (
  { api, namespace, name, sessionId }: KeyPlace,
  value: string | null,
  signal: AbortSignal | undefined,
): Promise<unknown> =>
  api.request(
    { verb: "patch", group: "", resource: "pods", namespace, name },
    { body: { metadata: { annotations: { [KEY_PREFIX + sessionId]: value } } }, signal },
  );

/** As a place for a session: made by writing the key, taken away by removing it; the last one out removes the Job. */
export function joinedBody(
  api: ApiClient,
  pod: V1Pod,
  target: TargetPod,
  facts: SessionFacts,
  rung: AgentRung,
): AgentBody {
  const { name = "", namespace = "", labels = {}, annotations = {} } = pod.metadata ?? {};
  const owner = annotations[OWNER_ANNOTATION] ?? "somebody";
  const session = labels[SESSION_LABEL];
  const job = pod.metadata?.ownerReferences?.find(({ kind }) => kind === "Job");
  const where = { api, namespace, name, sessionId: facts.greetsAs ?? facts.sessionId };
  return {
    name: `the agent of ${owner} beside pod/${target.name} in namespace "${namespace}"`,
    rung,
    isJoined: true,
    namespace,
    container: CONTAINER,
    image: "",
    port: AGENT_PORT,
    query: { fieldSelector: `metadata.name=${name}` },
    maker: undefined,
    tryAdmission: undefined,
    create: async () => {
      await writeKey(where, facts);
      return `joined the agent of ${owner}`;
    },
    statusOf: (made) => made.status?.containerStatuses?.find((each) => each.name === CONTAINER),
    remove: async (signal, others) => {
      if (others > 0 || job === undefined) {
        await removeKey(where, signal);
        return;
      }
      // Whoever made it has gone before us.
      await api.request(
        { verb: "delete", group: "batch", resource: "jobs", namespace, name: job.name },
        {
          body: {
            apiVersion: "v1",
            kind: "DeleteOptions",
            propagationPolicy: "Background",
            preconditions: { uid: job.uid },
          },
          signal,
        },
      );
    },
    isGoing: (made) => made.metadata?.deletionTimestamp !== undefined,
    removeHints: [
      `it serves session ${session} too; once nobody uses it: kubectl delete job ${job?.name} -n ${namespace}`,
    ],
  };
}

/** An agent of one's own is the way out. */
export const cannotJoin = (error: unknown): boolean => isForbidden(error) || isNotFound(error);
