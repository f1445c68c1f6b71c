/** The rung below all others for incoming traffic: through a relay pod that the target's Service leads to. */
import { type HeldNote, holdOf, ownSelector, UserError } from "@inpod/protocol";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import type { AgentOptions, AgentRung, PlacedAgent } from "../../api.ts";
import { policiesOf } from "../examine/network-policies.ts";
import type { TargetPod } from "../find/target-pod.ts";
import type { SessionFacts } from "../place/agent-command.ts";
import { CONTAINER } from "../place/job-spec.ts";
import { cannotJoin, joinedBody } from "../place/join.ts";
import { SESSION_LABEL } from "../place/labels.ts";
import { placeBody } from "../place/placed-agent.ts";
import type { AgentPlacement } from "../place/placement.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { explain } from "../reach/api-errors.ts";
import { listAll } from "../reach/list.ts";
import { held, readService } from "./hold.ts";
import { Hold, relayBody } from "./relay-body.ts";
import { portNumbers, relayFit } from "./relay-fit.ts";
import { relayMarks } from "./relay-objects.ts";

export interface RelayChoice {
  /** `auto`: where nothing else can take traffic. */
  readonly when: "auto" | "always" | "never";
  /** The user's yes to a relay that cannot give the Service back by itself. */
  readonly isUnattended: boolean;
  /** By name, where the target is one. */
  readonly service: string | undefined;
}

export interface RelayPlaceParts {
  readonly api: ApiClient;
  readonly target: TargetPod;
  readonly placement: AgentPlacement;
  readonly facts: SessionFacts;
  readonly relay: RelayChoice;
  /** What refused a better rung. */
  readonly refusal: UserError | undefined;
}

/** @throws UserError */
export async function placeRelay(
  parts: RelayPlaceParts,
  options: AgentOptions,
): Promise<PlacedAgent> {
  const { api, target, placement, facts, relay, refusal } = parts;
  const { signal, onNotice = () => {} } = options;
  const service = await serviceOf(parts, signal);
  const name = service.metadata?.name ?? "";
  const what = `service/${name}`;
  const fit = relayFit(service, target.pod);
  if (fit.kind === "unfit")
    throw new UserError(
      "RELAY_UNFIT",
      `a relay pod cannot take the traffic of ${what}: ${fit.why}`,
      {
        cause: refusal,
      },
    );
  const hold = holdOf(service);
  if (hold.kind === "held" && hold.note.untilMs > api.nowMs()) {
    const joined = await joinRelay(parts, options, name, hold.note);
    if (joined === undefined) throw held({ api, name, namespace: target.namespace }, hold.note);
    return joined;
  }
  const body = await relayBody(
    {
      api,
      service,
      ports: fit.ports,
      // Its namespace is the Service's: a selector does not look into another.
      agent: { ...placement, namespace: undefined },
      facts,
      why: refusal?.message,
      mayBeUnattended: relay.isUnattended,
      onNotice,
    },
    signal,
  );
  const agent = await placeBody(api, body, options);
  const ports = portNumbers(fit.ports).join(", ");
  onNotice(
    `${what} leads to a relay pod now (port${ports.includes(",") ? "s" : ""} ${ports} of its pods), which passes on to the pods what is not yours: the pods see the relay's address as their client's`,
  );
  for (const policy of await policiesAround(
    parts,
    relayMarks(service, placement, facts).labels,
    signal,
  ))
    onNotice(
      `NetworkPolicy "${policy}" holds the relay pod, which has none of the pods' labels: clients that it does not let in get no answer while this session runs`,
    );
  return agent;
}

async function serviceOf(
  { api, target, relay, refusal }: RelayPlaceParts,
  signal: AbortSignal,
): Promise<V1Service> {
  const { namespace } = target;
  try {
    if (relay.service !== undefined)
      return await readService({ api, namespace, name: relay.service }, signal);
    const all = await listAll<V1Service>(
      api,
      { group: "", resource: "services", namespace },
      { signal },
    );
    const labels = target.pod.metadata?.labels ?? {};
    const leading = all.filter((service) => {
      const wanted = Object.entries(ownSelector(service) ?? {});
      const isOurs = service.metadata?.labels?.["app.kubernetes.io/managed-by"] === "inpod";
      return !isOurs && wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
    });
    const [only] = leading;
    if (only !== undefined && leading.length === 1) return only;
    const names = leading.map(({ metadata }) => `service/${metadata?.name}`);
    throw new UserError(
      "RELAY_NO_SERVICE",
      names.length === 0
        ? `a relay pod takes a Service's traffic, and none leads to pod/${target.name}`
        : `a relay pod takes one Service's traffic, and ${names.length} lead to pod/${target.name}`,
      {
        cause: refusal,
        hints: names.length === 0 ? [] : [`name the one that is meant: ${names.join(", ")}`],
      },
    );
  } catch (error) {
    throw explain(error);
  }
}

/** Undefined: its relay is not there, or cannot be joined. */
async function joinRelay(
  { api, target, placement, facts }: RelayPlaceParts,
  options: AgentOptions,
  service: string,
  note: HeldNote,
): Promise<PlacedAgent | undefined> {
  if (options.mayJoin === false) return undefined;
  const { namespace } = target;
  const { holder } = note;
  const { signal, onNotice = () => {} } = options;
  try {
    const pods = await listAll<V1Pod>(
      api,
      { group: "", resource: "pods", namespace },
      { labelSelector: `${SESSION_LABEL}=${holder}`, signal },
    );
    const pod = pods.find(
      ({ metadata, status, spec }) =>
        metadata?.deletionTimestamp === undefined &&
        spec?.containers.some(
          (each) => each.name === CONTAINER && each.image === placement.image,
        ) === true &&
        status?.containerStatuses?.some(
          (each) => each.name === CONTAINER && each.state?.running !== undefined,
        ) === true,
    );
    if (pod === undefined) return undefined;
    const rung: AgentRung = {
      kind: "relay",
      words: `a relay pod that runs already, to which service/${service} leads`,
      missing: {},
    };
    const body = joinedBody(api, pod, target, facts, rung);
    const hold = new Hold({ api, namespace, name: service }, holder, onNotice);
    return await placeBody(
      api,
      {
        ...body,
        settle: async () => {
          hold.follow(note);
          return `service/${service} leads to it already`;
        },
        remove: async (removing, others) => {
          await hold.end(removing, others);
          await body.remove?.(removing, others);
        },
      },
      options,
    );
  } catch (error) {
    options.signal.throwIfAborted();
    if (cannotJoin(error)) return undefined;
    throw explain(error);
  }
}

/** Names; none where they may not be listed. */
async function policiesAround(
  { api, target: { namespace } }: RelayPlaceParts,
  labels: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<string[]> {
  try {
    const all = await listAll<Parameters<typeof policiesOf>[0][number]>(
      api,
      { group: "networking.k8s.io", resource: "networkpolicies", namespace },
      { signal },
    );
    return policiesOf(all, labels)
      .filter(({ limitsIncoming }) => limitsIncoming)
      .map(({ name }) => name);
  } catch {
    signal.throwIfAborted();
    return [];
  }
}
