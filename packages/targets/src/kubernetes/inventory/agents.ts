/** Every agent in a namespace, or in all of them, by the marks that each object of inpod carries. */
import type { Duplex } from "node:stream";
import type { V1Job, V1Pod } from "@kubernetes/client-node";
import type { Cluster } from "../cluster.ts";
import { AGENT_PORT } from "../place/job-spec.ts";
import { removeKey, writeKey } from "../place/join.ts";
import { whoAmI } from "../place/owner.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isNotFound } from "../reach/api-errors.ts";
import { listAll } from "../reach/list.ts";
import { dialPod } from "../reach/portforward.ts";
import { type AgentFacts, ephemeralAgents, jobAgents } from "./facts.ts";

const REMOVE_KEY_MS = 5_000;
const MANAGED = "app.kubernetes.io/managed-by=inpod";

export interface Agent {
  readonly facts: AgentFacts;
  /** A byte stream to it; only while its pod runs. The caller ends it. */
  dial(signal: AbortSignal): Promise<Duplex>;
  /**
   * Writes down that this session may speak with it: one that it serves has it let in, within seconds. What it
   * returns takes that away again.
   *
   * @param publicKey Ed25519, raw, base64. @throws UserError FORBIDDEN: it takes the right to patch pods
   */
  letIn(sessionId: string, publicKey: string, signal: AbortSignal): Promise<() => Promise<void>>;
  /**
   * Takes its Job or pod away, if it still is the object that was listed. Of an ephemeral container nothing can be
   * taken away: its entry stays in the pod's spec.
   *
   * @returns whether it was there
   * @throws UserError
   */
  remove(signal: AbortSignal): Promise<boolean>;
}

/**
 * @param namespace undefined: all
 * @throws UserError FORBIDDEN and those of the API
 */
export async function findAgents(
  { api }: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<Agent[]> {
  try {
    const [jobs, pods] = await Promise.all([
      listAll<V1Job>(
        api,
        { group: "batch", resource: "jobs", namespace },
        { labelSelector: MANAGED, signal },
      ),
      listAll<V1Pod>(api, { group: "", resource: "pods", namespace }, { signal }),
    ]);
    return [...jobAgents(jobs, pods), ...ephemeralAgents(pods)].map((facts) => ({
      facts,
      letIn: (sessionId, publicKey, letInSignal) =>
        letIn(api, facts, { sessionId, publicKey }, letInSignal),
      dial: (dialSignal) => dialAgent(api, facts, dialSignal),
      remove: (removeSignal) => remove(api, facts, removeSignal),
    }));
  } catch (error) {
    throw explain(error);
  }
}

/** Whom the cluster takes us for; undefined where it does not tell. Never rejects. */
export const userOf = ({ api }: Cluster, signal: AbortSignal): Promise<string | undefined> =>
  whoAmI(api, signal);

async function dialAgent(api: ApiClient, facts: AgentFacts, signal: AbortSignal): Promise<Duplex> {
  if (facts.podName === undefined) throw new Error("the agent has no pod");
  const { namespace, podName: pod, port = AGENT_PORT } = facts;
  const stream = await dialPod(api, { namespace, pod, port }, signal);
  stream.on("error", () => {});
  return stream;
}

async function letIn(
  api: ApiClient,
  { namespace, podName: name = "" }: AgentFacts,
  { sessionId, publicKey }: { readonly sessionId: string; readonly publicKey: string },
  signal: AbortSignal,
): Promise<() => Promise<void>> {
  const place = { api, namespace, name, sessionId };
  try {
    const owner = await whoAmI(api, signal);
    await writeKey(place, { publicKey, owner }, signal);
  } catch (error) {
    throw explain(error);
  }
  // It goes with the pod, too.
  return () =>
    removeKey(place, AbortSignal.timeout(REMOVE_KEY_MS)).then(
      () => {},
      () => {},
    );
}

async function remove(api: ApiClient, facts: AgentFacts, signal: AbortSignal): Promise<boolean> {
  if (facts.kind === "ephemeral") return false;
  const where =
    facts.kind === "job" ? { group: "batch", resource: "jobs" } : { group: "", resource: "pods" };
  try {
    await api.request(
      { verb: "delete", ...where, namespace: facts.namespace, name: facts.name },
      {
        body: {
          apiVersion: "v1",
          kind: "DeleteOptions",
          propagationPolicy: "Background",
          // One of the same name that was made since is another's.
          preconditions: { uid: facts.uid },
        },
        signal,
      },
    );
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    throw explain(error);
  }
}
