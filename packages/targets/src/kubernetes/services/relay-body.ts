/** An agent that is a relay pod: made with all that belongs to it, led to by the Service, and taken away again. */
import { setTimeout as delay } from "node:timers/promises";
import { type HeldNote, UserError } from "@inpod/protocol";
import type { V1Job, V1Pod, V1Service } from "@kubernetes/client-node";
import type { AgentRung } from "../../api.ts";
import { tryAdmission } from "../place/admission.ts";
import type { AgentBody } from "../place/agent-body.ts";
import type { SessionFacts } from "../place/agent-command.ts";
import { jobBody } from "../place/job-body.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain, isForbidden } from "../reach/api-errors.ts";
import { followPod } from "../reach/follow-pod.ts";
import { followHold, giveBack, LEASE_MS, type ServicePlace, take } from "./hold.ts";
import { changedSince, type RelayPort } from "./relay-fit.ts";
import { noteOf, ownedBy, type RelayObjects, relayObjects } from "./relay-objects.ts";

/** The nodes' proxies learn of the selector one after the other: so long the relay must still be there. */
const SETTLE_MS = 1000;

export interface RelayParts {
  readonly api: ApiClient;
  readonly service: V1Service;
  readonly ports: readonly RelayPort[];
  readonly agent: AgentPlacement;
  readonly facts: SessionFacts;
  /** Why it is not a better rung. */
  readonly why: string | undefined;
  /** The user's yes to a relay that cannot give the Service back by itself. */
  readonly mayBeUnattended: boolean;
  readonly onNotice: (line: string) => void;
}

const RBAC = "rbac.authorization.k8s.io";
const belongings = ({ origin, account, role, binding }: RelayObjects, restores: boolean) => [
  { group: "", resource: "services", object: origin },
  ...(restores
    ? [
        { group: "", resource: "serviceaccounts", object: account },
        { group: RBAC, resource: "roles", object: role },
        { group: RBAC, resource: "rolebindings", object: binding },
      ]
    : []),
];

/** Asks first what may be made; nothing is there before create(). @throws UserError */
export async function relayBody(parts: RelayParts, signal: AbortSignal): Promise<AgentBody> {
  const { api, service, ports, agent, facts, mayBeUnattended } = parts;
  const { name = "", namespace = "" } = service.metadata ?? {};
  const wish = { service, ports, agent, facts, nowMs: api.nowMs() };
  const restores = await mayRestore(parts, relayObjects({ ...wish, restores: true }), signal);
  if (!restores && !mayBeUnattended) throw cannotRestore(name, namespace);
  const objects = relayObjects({ ...wish, restores });
  const rung: AgentRung = {
    kind: "relay",
    words: `a relay pod in namespace "${namespace}", to which service/${name} leads as long as the session lasts`,
    missing: {},
    ...(parts.why === undefined ? {} : { why: parts.why }),
  };
  const place = { api, namespace, name };
  const hold = new Hold(place, facts.sessionId, parts.onNotice);
  const body = jobBody(api, objects, { beside: `for service/${name}`, rung });
  const jobs = { group: "batch", resource: "jobs", namespace } as const;
  /**
   * A Job that is deleted takes what belongs to it along at once, and its pod has yet to give the Service back: it is their
   * owner as well, and so they are there until it has ended.
   */
  const keepFor = async (pod: V1Pod): Promise<void> => {
    const owner = { apiVersion: "v1", kind: "Pod", ...named(pod) };
    const patches = belongings(objects, restores).map(({ group, resource, object }) =>
      api.request(
        { verb: "patch", group, resource, namespace, name: object.metadata?.name ?? "" },
        {
          body: { metadata: { ownerReferences: [owner] } },
          contentType: "application/strategic-merge-patch+json",
        },
      ),
    );
    await Promise.all(patches).catch((error: unknown) => {
      throw explain(error);
    });
  };
  return {
    ...body,
    // As another service account's, since this one's is not there yet.
    tryAdmission: (trying) =>
      tryAdmission(api, relayObjects({ ...wish, restores: false }).pod, trying),
    create: async () => {
      try {
        const job = await api.request<V1Job>({ verb: "create", ...jobs }, { body: objects.job });
        await Promise.all(
          belongings(objects, restores).map(({ group, resource, object }) =>
            api.request(
              { verb: "create", group, resource, namespace },
              { body: ownedBy<object>(object, job) },
            ),
          ),
        );
        await api.request(
          { verb: "patch", ...jobs, name: job.metadata?.name ?? "" },
          { body: { spec: { suspend: false } } },
        );
      } catch (error) {
        throw explain(error);
      }
      return `job/${objects.job.metadata?.name} created`;
    },
    settle: async (settling) => {
      // Not before it is ready: until then it would be none of the Service's endpoints.
      const pod = await untilReady(api, namespace, body.query, settling);
      await keepFor(pod);
      await hold.take((now) => {
        const changed = changedSince(service, now);
        if (changed !== undefined) throw serviceChanged(name, changed);
        return noteOf(now, objects.selector, facts, api.nowMs() + LEASE_MS);
      }, settling);
      return `service/${name} leads to the relay pod`;
    },
    remove: async (removing, others) => {
      if (!(await hold.end(removing, others))) return;
      await body.remove?.(removing, others);
    },
    removeHints: [
      `give the Service back: inpod recover ${name} -n ${namespace}`,
      ...body.removeHints,
    ],
  };
}

/** One session's part in a Service's being held. */
export class Hold {
  readonly #place: ServicePlace;
  readonly #holder: string;
  readonly #onNotice: (line: string) => void;
  readonly #following = new AbortController();
  /** Since it is held. */
  #note: HeldNote | undefined;

  constructor(place: ServicePlace, holder: string, onNotice: (line: string) => void) {
    this.#place = place;
    this.#holder = holder;
    this.#onNotice = onNotice;
  }

  async take(noteFor: Parameters<typeof take>[1], signal: AbortSignal): Promise<void> {
    try {
      this.follow(await take(this.#place, noteFor, this.#place.api.nowMs(), signal));
    } catch (error) {
      throw explain(error);
    }
  }

  follow(note: HeldNote): void {
    this.#note = note;
    void followHold(this.#place, note, this.#following.signal, this.#onNotice).catch(() => {});
  }

  /** @returns whether its relay may go now: nobody else has it */
  async end(signal: AbortSignal, others: number): Promise<boolean> {
    this.#following.abort();
    if (others > 0) return false;
    let given: Awaited<ReturnType<typeof giveBack>> | undefined;
    try {
      const who = { holder: this.#holder, remembered: this.#note };
      given = await giveBack(this.#place, who, signal);
    } catch (error) {
      if (!(error instanceof UserError)) throw explain(error);
      throw error;
    }
    // Connections that were on their way are still passed on; somebody else may have given it back just now.
    if (this.#note !== undefined && (given.kind === "restored" || given.kind === "free"))
      await delay(SETTLE_MS, undefined, { signal });
    return true;
  }
}

/** Whether the user may make all that the agent needs to give the Service back, asked by dry runs. */
async function mayRestore(
  { api }: RelayParts,
  objects: RelayObjects,
  signal: AbortSignal,
): Promise<boolean> {
  const { namespace = "" } = objects.origin.metadata ?? {};
  const answers = await Promise.all(
    belongings(objects, true).map(async ({ group, resource, object }) => {
      // A binding's dry run asks for its Role, which is not there; whoever may make Roles may bind these.
      if (resource === "rolebindings") return true;
      try {
        await api.request(
          { verb: "create", group, resource, namespace },
          { query: { dryRun: "All" }, body: object, signal },
        );
        return true;
      } catch (error) {
        if (isForbidden(error) && resource !== "services") return false;
        throw explain(error);
      }
    }),
  );
  return answers.every((each) => each);
}

async function untilReady(
  api: ApiClient,
  namespace: string,
  query: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<V1Pod> {
  const watching = new AbortController();
  const both = AbortSignal.any([signal, watching.signal]);
  try {
    return await new Promise<V1Pod>((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
      followPod(api, namespace, query, both, {
        onPod: (pod) => {
          if (isReady(pod)) resolve(pod);
        },
        onDeleted: () => {},
      }).catch(reject);
    });
  } finally {
    watching.abort();
  }
}

const named = ({ metadata }: V1Pod) => ({ name: metadata?.name ?? "", uid: metadata?.uid ?? "" });

const isReady = ({ status }: V1Pod): boolean =>
  status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;

const serviceChanged = (name: string, what: string): UserError =>
  new UserError(
    "RELAY_UNFIT",
    `service/${name} was given other ${what === "ports" ? "ports" : "pods"} while its relay pod was starting`,
    { hints: ["start this session anew"] },
  );

const cannotRestore = (name: string, namespace: string): UserError =>
  new UserError(
    "RELAY_CANNOT_RESTORE",
    `a relay pod could take the traffic of service/${name}, and could not give it back by itself when this machine is gone`,
    {
      cause: new Error(
        "for that it needs a service account with a Role for this one Service, which you may not make",
      ),
      hints: [
        `ask for the right to create serviceaccounts, roles and rolebindings in namespace "${namespace}": docs/rights.md, "through a relay pod"`,
        'or go on without, and run inpod recover after a crash: {"agent": {"relay_pod": {"unattended": true}}}',
      ],
    },
  );
