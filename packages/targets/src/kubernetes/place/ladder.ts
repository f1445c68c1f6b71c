/**
 * From the place with every right down to the one with none: a Job beside the target, an ephemeral container in
 * its pod, one with nothing but the target's own rights. Each is tried by a dry run before it is made.
 *
 * An ephemeral container stays in the pod's spec for ever, so it is never chosen without the user's yes.
 */
import { UserError } from "@inpod/protocol";
import type { AgentOptions, AgentRung, PlacedAgent } from "../../api.ts";
import type { TargetPod } from "../find/target-pod.ts";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError } from "../reach/api-errors.ts";
import { placeRelay, type RelayChoice } from "../services/relay-place.ts";
import type { AgentBody } from "./agent-body.ts";
import type { SessionFacts } from "./agent-command.ts";
import { ephemeralBody, tryEphemeral } from "./ephemeral-body.ts";
import { ephemeralContainer } from "./ephemeral-spec.ts";
import { jobBesideTarget } from "./job-body.ts";
import { agentNamespace } from "./job-spec.ts";
import { cannotJoin, findRunningAgent, joinedBody } from "./join.ts";
import { placeBody } from "./placed-agent.ts";
import type { AgentPlacement, Capability } from "./placement.ts";

export interface LadderParts {
  readonly api: ApiClient;
  readonly target: TargetPod;
  readonly placement: AgentPlacement;
  readonly facts: SessionFacts;
  /** Undefined: traffic is not all that is wanted, so that a relay pod is of no use. */
  readonly relay?: RelayChoice | undefined;
}

/** @throws UserError of the first rung that was wanted, with what was found out about the others as hints */
export async function placeOnLadder(
  parts: LadderParts,
  options: AgentOptions,
): Promise<PlacedAgent> {
  const { api, target, placement, facts, relay } = parts;
  if (relay?.when === "always") return placeRelay({ ...parts, relay, refusal: undefined }, options);
  if (placement.ephemeral === true) {
    const { body } = await bestEphemeral(parts, options.signal);
    return placeBody(api, body, options);
  }
  let refusal: UserError;
  try {
    refuseWithout(placement.disabledCapabilities ?? []);
    return (
      (await joinRunning(parts, options)) ??
      (await placeBody(api, jobBesideTarget(api, target, placement, facts), options))
    );
  } catch (error) {
    if (!isRungRefused(error, placement)) throw error;
    refusal = error;
  }
  if (relay !== undefined && relay.when !== "never")
    return placeRelay({ ...parts, relay, refusal }, options).catch((error: unknown) => {
      options.signal.throwIfAborted();
      throw withHints(refusal, [
        `a relay pod is no way out here: ${withCause(error)}`,
        ...hintsOf(error),
      ]);
    });
  let body: AgentBody;
  try {
    ({ body } = await bestEphemeral(parts, options.signal, refusal));
  } catch (error) {
    options.signal.throwIfAborted();
    throw withHints(refusal, [`an ephemeral container is refused as well: ${firstLine(error)}`]);
  }
  const lacks = body.rung.missing.incoming === undefined ? "" : " (everything but incoming)";
  if (!(await options.confirm?.(question(refusal, body, lacks))))
    throw withHints(refusal, [
      `take an ephemeral container${lacks}, which stays in the pod's spec until the pod is deleted: -e, or {"agent": {"ephemeral": true}}`,
    ]);
  return placeBody(api, body, options);
}

/** Undefined: there is none, or it cannot be joined; then one of one's own is the way. */
async function joinRunning(
  { api, target, placement, facts }: LadderParts,
  options: AgentOptions,
): Promise<PlacedAgent | undefined> {
  if (options.mayJoin === false) return undefined;
  const namespace = agentNamespace(target, placement);
  const pod = await findRunningAgent(api, namespace, target, placement.image, options.signal);
  if (pod === undefined) return undefined;
  const rung: AgentRung = { kind: "job", words: "a job that runs already", missing: {} };
  try {
    return await placeBody(api, joinedBody(api, pod, target, facts, rung), options);
  } catch (error) {
    options.signal.throwIfAborted();
    if (hasEnded(error)) {
      options.onProgress("the agent that ran there has ended meanwhile");
      return undefined;
    }
    if (!cannotJoin(error)) throw error;
    options.onProgress(
      "an agent of somebody else runs there; without the right to patch pods this session gets one of its own",
    );
    return undefined;
  }
}

/** Its last session was over, and so was its time. */
const hasEnded = (error: unknown): boolean =>
  error instanceof UserError && /^AGENT_(ENDED|GONE)$/.test(error.code);

const question = (refusal: UserError, { rung }: AgentBody, lacks: string): string =>
  `${refusal.message}\n${rung.words}${lacks} is possible; its entry stays in the pod's spec until the pod is deleted. Use it?`;

/** The first of the two that the cluster would take. @throws the first refusal when it takes neither */
async function bestEphemeral(
  { api, target, placement, facts }: LadderParts,
  signal: AbortSignal,
  jobRefusal?: UserError,
): Promise<{ body: AgentBody }> {
  const nowMs = Date.now();
  const why = jobRefusal === undefined ? {} : { why: jobRefusal.message };
  const attempt = async (isPrivileged: boolean, rung: AgentRung): Promise<{ body: AgentBody }> => {
    const container = ephemeralContainer(target, placement, facts, { isPrivileged, nowMs });
    await tryEphemeral(api, target, container, signal);
    return { body: ephemeralBody(api, target, container, rung) };
  };
  try {
    return await attempt(true, {
      kind: "ephemeral",
      words: `an ephemeral container in pod/${target.name}`,
      missing: {},
      ...why,
    });
  } catch (error) {
    if (!(error instanceof UserError) || !REFUSALS.has(error.code)) throw error;
    // Both take the same right.
    if (error.code === "FORBIDDEN") throw error;
    return attempt(false, {
      kind: "unprivileged-ephemeral",
      words: `an unprivileged ephemeral container in pod/${target.name}`,
      missing: { incoming: error.message },
      ...why,
    }).catch(() => Promise.reject(error));
  }
}

const REFUSALS: ReadonlySet<string> = new Set([
  "POD_SECURITY",
  "QUOTA",
  "REFUSED",
  "FORBIDDEN",
  "AGENT_REFUSED",
  "CONFIG_CAPABILITIES",
]);

/** Whether another place may be better: not where the image is missing or the API server silent. */
function isRungRefused(error: unknown, { checkOutOfPods }: AgentPlacement): error is UserError {
  if (!(error instanceof UserError)) return false;
  if (error.code === "NODE_FULL") return checkOutOfPods !== false;
  // Watching the agent's pod is needed on every rung.
  if (error.code === "FORBIDDEN")
    return error.cause instanceof ApiError && error.cause.call.resource === "jobs";
  return REFUSALS.has(error.code);
}

const NEEDED: readonly Capability[] = ["SYS_PTRACE", "SYS_ADMIN"];

/** Without these a Job cannot enter the target's namespaces. @throws UserError CAPABILITIES */
export function refuseWithout(disabled: readonly Capability[]): void {
  const missing = NEEDED.filter((each) => disabled.includes(each));
  if (missing.length === 0) return;
  throw new UserError(
    "CONFIG_CAPABILITIES",
    `a job cannot enter the target's namespaces without ${missing.join(" and ")} (agent.disabled_capabilities)`,
  );
}

const withHints = (error: UserError, hints: readonly string[]): UserError =>
  new UserError(error.code, error.message, {
    hints: [...hints, ...error.hints],
    cause: error.cause,
  });

const withCause = (error: unknown): string =>
  error instanceof UserError && error.cause !== undefined
    ? `${firstLine(error)} (${firstLine(error.cause)})`
    : firstLine(error);

const hintsOf = (error: unknown): readonly string[] =>
  error instanceof UserError ? error.hints : [];

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
