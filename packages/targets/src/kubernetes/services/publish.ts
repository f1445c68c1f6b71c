/** A Service that leads to a session's own agent: refused before anything is made where it cannot be, and gone with it. */
import { setTimeout as delay } from "node:timers/promises";
import { UserError } from "@inpod/protocol";
import type { V1Job, V1Service } from "@kubernetes/client-node";
import type { Published, PublishWish } from "../../api.ts";
import { unknownNamespace } from "../find/names.ts";
import type { AgentBody } from "../place/agent-body.ts";
import type { SessionFacts } from "../place/agent-command.ts";
import type { OwnRole } from "../place/job-spec.ts";
import { OWNER_ANNOTATION, SESSION_LABEL } from "../place/labels.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain, isNotFound } from "../reach/api-errors.ts";
import { agentSelector, ownedBy } from "./relay-objects.ts";

const POLL_MS = 1000;
/** Whose Service it is, whichever agent of the session it leads to. */
const PUBLISHED_ANNOTATION = "inpod.dev/published-by";

export interface PublishParts {
  readonly api: ApiClient;
  readonly namespace: string;
  readonly wish: PublishWish;
}

/** Pure. */
export const publishedService = (
  { name, ports, isExternal }: PublishWish,
  namespace: string,
  facts: Pick<SessionFacts, "sessionId" | "greetsAs" | "owner">,
): V1Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: {
    name,
    namespace,
    labels: {
      "app.kubernetes.io/managed-by": "inpod",
      [SESSION_LABEL]: facts.sessionId,
    },
    annotations: {
      [PUBLISHED_ANNOTATION]: facts.greetsAs ?? facts.sessionId,
      ...(facts.owner === undefined ? {} : { [OWNER_ANNOTATION]: facts.owner }),
    },
  },
  spec: {
    ...(isExternal ? { type: "LoadBalancer" } : {}),
    selector: agentSelector(facts.sessionId),
    ports: ports.map(({ port, agentPort }) => ({
      name: `p${port}`,
      port,
      targetPort: agentPort,
    })),
  },
});

export class Publisher {
  readonly role: OwnRole = { agentOptions: ["--own-ports"] };
  readonly #parts: PublishParts;
  #published: Published | undefined;

  constructor(parts: PublishParts) {
    this.#parts = parts;
  }

  get published(): Published | undefined {
    return this.#published;
  }

  /** Whether there is a Service of that name, and whether the cluster would take ours. @throws UserError */
  async mayPublish(facts: SessionFacts, signal: AbortSignal): Promise<void> {
    const { api, namespace, wish } = this.#parts;
    const { name } = wish;
    const where = { group: "", resource: "services", namespace } as const;
    try {
      const existing = await api.request<V1Service>({ verb: "get", ...where, name }, { signal });
      if (!isOurs(existing, facts)) throw nameTaken(existing);
      return;
    } catch (error) {
      if (!isNotFound(error)) throw explain(error);
    }
    try {
      await api.request(
        { verb: "create", ...where },
        { query: { dryRun: "All" }, body: publishedService(wish, namespace, facts), signal },
      );
    } catch (error) {
      if (isNotFound(error)) throw await unknownNamespace(api, namespace, signal);
      throw explain(error);
    }
  }

  /** The agent's place, with the Service. */
  body(body: AgentBody, facts: SessionFacts): AgentBody {
    const { api, namespace, wish } = this.#parts;
    const services = { group: "", resource: "services", namespace } as const;
    return {
      ...body,
      settle: async (signal) => {
        this.#published = await this.#publish(body, facts, signal);
        return `service/${wish.name} created`;
      },
      remove: async (signal, others) => {
        // Sooner than the cluster's garbage collector, and only if it leads to this agent.
        await this.#mine(facts, signal)
          .then((uid) =>
            uid === undefined
              ? undefined
              : api.request(
                  { verb: "delete", ...services, name: wish.name },
                  {
                    body: { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } },
                    signal,
                  },
                ),
          )
          .catch(() => {});
        await body.remove?.(signal, others);
      },
    };
  }

  async #mine(facts: SessionFacts, signal: AbortSignal): Promise<string | undefined> {
    const { api, namespace, wish } = this.#parts;
    const { metadata } = await api.request<V1Service>(
      { verb: "get", group: "", resource: "services", namespace, name: wish.name },
      { signal },
    );
    return metadata?.labels?.[SESSION_LABEL] === facts.sessionId ? metadata.uid : undefined;
  }

  async #publish(body: AgentBody, facts: SessionFacts, signal: AbortSignal): Promise<Published> {
    const { api, namespace, wish } = this.#parts;
    const services = { group: "", resource: "services", namespace } as const;
    const { name } = wish;
    const one = { ...services, name } as const;
    let made: V1Service;
    try {
      const job = await api.request<V1Job>(
        { verb: "get", group: "batch", resource: "jobs", namespace, name: body.maker?.name ?? "" },
        { signal },
      );
      const wanted = ownedBy(publishedService(wish, namespace, facts), job);
      made = await api
        .request<V1Service>({ verb: "create", ...services }, { body: wanted, signal })
        .catch(async (error: unknown) => {
          if (!(error instanceof ApiError) || error.status !== 409) throw error;
          const existing = await api.request<V1Service>({ verb: "get", ...one }, { signal });
          if (!isOurs(existing, facts)) throw nameTaken(existing);
          // Of an agent of this session that is gone: its clients keep their address.
          const { metadata, spec } = wanted;
          return api.request<V1Service>(
            { verb: "patch", ...one },
            {
              body: {
                metadata: {
                  labels: metadata?.labels,
                  ownerReferences: metadata?.ownerReferences,
                  resourceVersion: existing.metadata?.resourceVersion,
                },
                spec: { selector: spec?.selector },
              },
              signal,
            },
          );
        });
    } catch (error) {
      throw explain(error);
    }
    return {
      namespace,
      address: made.spec?.clusterIP ?? "",
      external: (waiting) => externalAddress(api, one, waiting),
    };
  }
}

const isOurs = (
  { metadata }: V1Service,
  { greetsAs, sessionId }: Pick<SessionFacts, "greetsAs" | "sessionId">,
): boolean => metadata?.annotations?.[PUBLISHED_ANNOTATION] === (greetsAs ?? sessionId);

async function externalAddress(
  api: ApiClient,
  one: {
    readonly group: "";
    readonly resource: "services";
    readonly namespace: string;
    readonly name: string;
  },
  signal: AbortSignal,
): Promise<string> {
  for (;;) {
    signal.throwIfAborted();
    const { status } = await api
      .request<V1Service>({ verb: "get", ...one }, { signal })
      .catch((): V1Service => ({}));
    const [first] = status?.loadBalancer?.ingress ?? [];
    const address = first?.ip ?? first?.hostname;
    if (address !== undefined && address !== "") return address;
    await delay(POLL_MS, undefined, { signal });
  }
}

function nameTaken({ metadata }: V1Service): UserError {
  const { name, namespace, annotations = {}, labels = {} } = metadata ?? {};
  const by = annotations[PUBLISHED_ANNOTATION];
  if (by !== undefined)
    return new UserError(
      "SERVICE_EXISTS",
      `service/${name} in namespace "${namespace}" is published by ${annotations[OWNER_ANNOTATION] ?? "somebody"} (session ${by})`,
      {
        hints: [
          "choose another name",
          `see whether that session is still there: inpod status -n ${namespace}; if not: inpod clean -n ${namespace}`,
        ],
      },
    );
  const manager = labels["app.kubernetes.io/managed-by"];
  return new UserError(
    "SERVICE_EXISTS",
    `there is a service/${name} in namespace "${namespace}" already${manager === undefined ? "" : ` (managed by ${manager})`}`,
    {
      hints: [
        "choose another name",
        `to answer its requests here instead: inpod exchange ${name} --expose …`,
      ],
    },
  );
}
