/** Sessions of this user that run on other machines: named, and ended through their agents where that is wanted. */
import { UserError } from "@inpod/protocol";
import { type Agent, type Cluster, findAgents, userOf } from "@inpod/targets";
import { openConfiguredCluster } from "../configured-cluster.ts";
import { type Io, printable } from "../io.ts";
import { isMeant } from "../running/entry.ts";
import { askAgent, withAgent } from "../status/ask.ts";
import type { LeaveArguments } from "./arguments.ts";

const TIMEOUT_MS = 60_000;

interface Elsewhere {
  readonly agent: Agent;
  readonly sessionId: string;
  readonly target: string;
  readonly pod: string;
  readonly words: string;
  /** Sessions of the same agent that are not ours to end. */
  readonly others: number;
}

/**
 * @param wanted none: all of this user's
 * @throws UserError LEAVE_*: what was not found or not ended, in one
 */
export async function leaveElsewhere(
  wanted: readonly string[],
  args: LeaveArguments,
  io: Io,
  here: number,
): Promise<void> {
  const { cluster } = await openConfiguredCluster(args, io).catch((cause: unknown) => {
    throw notFound(wanted, here, cause);
  });
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const found = await sessionsOfUser(cluster, signal);
    const chosen = found.filter(
      (each) => wanted.length === 0 || wanted.some((word) => isWanted(each, word)),
    );
    const unknown = wanted.filter((word) => !chosen.some((each) => isWanted(each, word)));
    if (chosen.length === 0) throw notFound(wanted, here, undefined);
    if (!args.isForced) throw notHere(chosen);
    const failed: string[] = [];
    for (const each of chosen) {
      const why = await end(each, signal);
      const what = printable(`session ${each.sessionId}: ${each.words}`);
      if (why === undefined) io.stderr.write(`inpod: asked to leave: ${what}\n`);
      else failed.push(`${what}: ${why}`);
    }
    if (failed.length > 0)
      throw new UserError("LEAVE_REFUSED", [`not ended:`, ...failed].join("\n  "));
    if (unknown.length > 0) throw notFound(unknown, here, undefined);
  } finally {
    cluster.close();
  }
}

async function sessionsOfUser(cluster: Cluster, signal: AbortSignal): Promise<Elsewhere[]> {
  const [user, agents] = await Promise.all([
    userOf(cluster, signal),
    findAgents(cluster, cluster.namespace, signal),
  ]);
  if (user === undefined) return [];
  const asked = await Promise.all(
    agents
      .filter(({ facts }) => facts.state !== "ended" && facts.podName !== undefined)
      .map((agent) => askAgent(agent, signal)),
  );
  return asked.flatMap((each) => {
    if (each.kind !== "told") return [];
    const { sessions } = each.status;
    const pod = each.agent.facts.target ?? "";
    return sessions
      .filter(({ owner }) => owner === user)
      .map(({ sessionId, about }) => {
        const {
          mode = "session",
          target = pod,
          machine = "a machine that it does not name",
        } = about ?? {};
        const words = `${mode} ${target}${target === pod ? "" : ` (${pod})`} on ${machine}`;
        return {
          ...{ agent: each.agent, sessionId, target, pod, words },
          others: sessions.length - 1,
        };
      });
  });
}

const isWanted = ({ sessionId, target, pod }: Elsewhere, word: string): boolean =>
  isMeant({ sessionId, target, pod }, word);

/** @returns why not */
async function end(each: Elsewhere, signal: AbortSignal): Promise<string | undefined> {
  const { agent, sessionId, others } = each;
  try {
    await withAgent(agent, signal, (session) => session.askToLeave(sessionId));
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    if (!/EOPNOTSUPP|too old/.test(why)) return why;
    // An older one cannot be asked. Without its agent it is over, as far as it is reachable at all.
    if (others > 0) return `${why}; its agent serves ${others} more, and is left alone`;
    await agent.remove(signal);
    return undefined;
  }
}

const notFound = (wanted: readonly string[], here: number, cause: unknown): UserError =>
  new UserError(
    "LEAVE_NOTHING",
    wanted.length === 0
      ? "you have no session in this namespace"
      : `you have no session that is called ${wanted.join(", ")}`,
    {
      cause,
      hints: [
        ...(here > 0 ? ["those on this machine: inpod leave"] : []),
        "who has sessions in the cluster: inpod status, or with -A in all namespaces",
      ],
    },
  );

const notHere = (found: readonly Elsewhere[]): UserError =>
  new UserError("LEAVE_ELSEWHERE", "not on this machine", {
    cause: found.map(({ sessionId, words }) => `session ${sessionId}: ${words}`).join("\n"),
    hints: ["end it there, or through the cluster: the same command with --force"],
  });
