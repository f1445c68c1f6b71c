/** Services that relay pods have, and whether their sessions live. */
import { UserError } from "@inpod/protocol";
import { type Cluster, type HeldService, heldServices } from "@inpod/targets";
import { type JudgedAgent, judgedAgents } from "../clean/agents.ts";
import type { Finding } from "../verify/finding.ts";

export interface JudgedService {
  readonly service: HeldService;
  /** Its relay pod; undefined: there is none any more. */
  readonly relay: JudgedAgent | undefined;
  readonly verdict: "held" | "left" | "unknown";
  readonly why: string;
}

/**
 * @param namespace undefined: all
 * @param agents those of the same namespaces, where they are known already
 * @throws UserError
 */
export async function judgedServices(
  cluster: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
  agents?: readonly JudgedAgent[],
): Promise<JudgedService[]> {
  const services = await heldServices(cluster, namespace, signal);
  if (services.length === 0) return [];
  const judged = agents ?? (await judgedAgents(cluster, namespace, signal).catch(() => undefined));
  return services.map(
    (service): JudgedService => judgeService(service, judged, cluster.api.nowMs()),
  );
}

/** Pure. @param agents undefined: they may not be looked at */
export function judgeService(
  service: HeldService,
  agents: readonly JudgedAgent[] | undefined,
  nowMs: number,
): JudgedService {
  const { note, isRemembered, namespace } = service;
  if (note === undefined)
    return { service, relay: undefined, verdict: "unknown", why: "its note cannot be read" };
  const relay = agents?.find(
    ({ agent: { facts } }) => facts.namespace === namespace && facts.session === note.holder,
  );
  const of = note.owner === "" ? "" : ` of ${note.owner}`;
  const is = (verdict: JudgedService["verdict"], why: string): JudgedService => ({
    service,
    relay,
    verdict,
    why,
  });
  // A session that lives would have given it back.
  if (isRemembered)
    return is(
      "left",
      `the note of session ${note.holder}${of} was taken away, and the relay's selector left`,
    );
  if (note.untilMs < nowMs) return is("left", `the lease of session ${note.holder}${of} is over`);
  if (relay === undefined)
    return agents === undefined
      ? is("unknown", `session ${note.holder}${of} holds it, and its agent cannot be looked at`)
      : is("left", `the relay pod of session ${note.holder}${of} is gone`);
  const { verdict, why } = relay.judgement;
  if (verdict === "held" || verdict === "starting")
    return is("held", `session ${note.holder}${of} uses it (${why})`);
  return verdict === "unknown"
    ? is("unknown", `session ${note.holder}${of} holds it; of its relay pod: ${why}`)
    : is("left", `session ${note.holder}${of} is gone: ${why}`);
}

/** For `inpod verify`; what may not be listed is a finding, too. */
export async function serviceFindings(
  ...[cluster, namespace, signal, agents]: Parameters<typeof judgedServices>
): Promise<Finding[]> {
  let judged: JudgedService[];
  try {
    judged = await judgedServices(cluster, namespace, signal, agents);
  } catch (error) {
    if (!isForbidden(error)) throw error;
    const why = "you may not list them: whether a relay pod has one is not known";
    return [{ where: "cluster", what: "services", verdict: "other", why }];
  }
  return judged.map(({ service, verdict, why }) => ({
    where: "cluster",
    what: nameOf(service),
    verdict,
    why,
  }));
}

export const nameOf = ({ name, namespace }: HeldService): string =>
  `the selector of service/${name} in namespace "${namespace}"`;

const isForbidden = (error: unknown): boolean =>
  error instanceof UserError && error.code === "FORBIDDEN";

/**
 * For `inpod clean`: before the relay pods of dead sessions go, the Services lead to their own pods again.
 * @returns lines for people. @throws UserError what could not be given back, after everything else has been
 */
export async function cleanServices(
  cluster: Cluster,
  namespace: string | undefined,
  { signal, agents, isDryRun }: CleanWish,
): Promise<CleanedService[]> {
  const judged = await judgedServices(cluster, namespace, signal, agents).catch(
    (error: unknown): JudgedService[] => {
      if (isForbidden(error)) return [];
      throw error;
    },
  );
  return Promise.all(
    judged.map(async (each): Promise<CleanedService> => {
      if (each.verdict !== "left") return { ...each, action: "kept" };
      if (isDryRun) return { ...each, action: "would-restore" };
      try {
        await each.service.restore(signal);
        return { ...each, action: "restored" };
      } catch (failure) {
        return { ...each, action: "failed", failure };
      }
    }),
  );
}

interface CleanWish {
  readonly signal: AbortSignal;
  readonly agents: readonly JudgedAgent[];
  readonly isDryRun: boolean;
}

export interface CleanedService extends JudgedService {
  readonly action: "kept" | "would-restore" | "restored" | "failed";
  readonly failure?: unknown;
}

/** Gives the Service back, and takes the relay pod away. @returns what came of it, for people. @throws UserError */
export async function restoreService(
  { service, relay }: JudgedService,
  signal: AbortSignal,
): Promise<string> {
  const outcome = await service.restore(signal);
  // What cannot be removed ends by itself.
  await relay?.agent.remove(signal).catch(() => {});
  return outcome;
}
