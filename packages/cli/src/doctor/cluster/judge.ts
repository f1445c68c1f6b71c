/** The API server, the login and the rights. Pure. */

import { matchesWildcard } from "@inpod/protocol";
import type { Answer, ClusterFacts, RightAnswer } from "@inpod/targets";
import { type Finding, findingsOf } from "../finding.ts";
import type { SessionWish } from "../session-wish.ts";
import { isBefore, type MajorMinor, majorMinor } from "../version.ts";

const { ok, note, warning, problem } = findingsOf("cluster");
const rights = findingsOf("rights");

/** ttlSecondsAfterFinished of a Job is on by default since then: before, an agent's Job stays when its end. */
const OLDEST_SERVER: MajorMinor = [1, 21];
/** Ephemeral containers are in every cluster since then. */
const EPHEMERAL_SERVER: MajorMinor = [1, 25];
/** Tokens and certificates are made some seconds back; a minute is what logins usually forgive. */
const CLOCK_TOLERANCE_MS = 60_000;

export function judgeCluster(facts: ClusterFacts, wish: SessionWish): Finding[] {
  return [
    ...judgeLogin(facts),
    ...judgeServer(facts),
    ...judgeClock(facts),
    ...judgeNamespace(facts),
    ...judgeProtection(facts, wish),
  ];
}

function judgeLogin({ user, contextName }: ClusterFacts): Finding[] {
  if (user.kind === "unknown") return [ok("login", `context "${contextName}" is accepted`)];
  if (user.value === "system:anonymous")
    return [
      problem("login-anonymous", `context "${contextName}" logs in as nobody (system:anonymous)`, {
        why: "the kubeconfig has no credentials for this cluster, or the cluster did not look at them",
        hints: ["log in again", "see whether kubectl can: kubectl auth whoami"],
      }),
    ];
  return [ok("login", `context "${contextName}" as "${user.value}"`)];
}

function judgeServer({ serverVersion }: ClusterFacts): Finding[] {
  const version = serverVersion.kind === "known" ? majorMinor(serverVersion.value) : undefined;
  if (serverVersion.kind === "unknown" || version === undefined)
    return [
      note("version-unknown", "the API server does not tell its version", {
        why: serverVersion.kind === "unknown" ? serverVersion.why : "",
      }),
    ];
  if (isBefore(version, OLDEST_SERVER))
    return [
      problem(
        "version",
        `Kubernetes ${serverVersion.value} is too old: inpod needs ${OLDEST_SERVER.join(".")}`,
        {
          why: "the Job of an agent that has ended would stay for ever",
          hints: ["use a newer cluster"],
        },
      ),
    ];
  if (isBefore(version, EPHEMERAL_SERVER))
    return [
      warning(
        "version",
        `Kubernetes ${serverVersion.value} has no ephemeral containers in every configuration`,
        {
          why: "an agent can be a Job only; where the namespace refuses that, there is no other way in",
        },
      ),
    ];
  return [ok("version", `Kubernetes ${serverVersion.value}`)];
}

function judgeClock({ clockAheadMs }: ClusterFacts): Finding[] {
  if (Math.abs(clockAheadMs) < CLOCK_TOLERANCE_MS) return [];
  const seconds = Math.round(Math.abs(clockAheadMs) / 1000);
  return [
    warning(
      "clock",
      `this machine's clock is ${seconds} s ${clockAheadMs > 0 ? "ahead of" : "behind"} the API server's`,
      {
        why: "tokens and certificates may be refused as expired or not yet valid",
        hints: ["set it: sudo timedatectl set-ntp true", "in WSL2: sudo hwclock -s"],
      },
    ),
  ];
}

function judgeProtection(
  { contextName }: ClusterFacts,
  { isStealing, protectedContexts }: SessionWish,
): Finding[] {
  if (!isStealing || !protectedContexts.some((each) => matchesWildcard(each, contextName)))
    return [];
  return [
    note("protected", `context "${contextName}" is one of your protected_contexts`, {
      why: "exec asks before it takes any traffic there, and refuses without a terminal",
      hints: ["say it beforehand: --yes"],
    }),
  ];
}

function judgeNamespace({ namespace, namespaceFacts }: ClusterFacts): Finding[] {
  // Who may not read namespaces learns it from the target.
  if (namespaceFacts.kind === "unknown") return [];
  if (namespaceFacts.value !== undefined) return [ok("namespace", `namespace "${namespace}"`)];
  return [
    problem("namespace-not-found", `no namespace "${namespace}" in the cluster`, {
      hints: ["see which there are: kubectl get namespaces", "look in another: -n NAME"],
    }),
  ];
}

/** "create and delete jobs (the agent is a job, made and removed)" */
function told(answers: readonly RightAnswer[]): string {
  const verbs = new Map<string, Set<string>>();
  for (const { right } of answers) {
    const { resource, subresource, verb, why } = right;
    const what = `${subresource === undefined ? resource : `${resource}/${subresource}`} (${why})`;
    verbs.set(what, (verbs.get(what) ?? new Set()).add(verb));
  }
  return [...verbs].map(([what, of]) => `${[...of].join(" and ")} ${what}`).join(", ");
}

/** @param roles YAML of the Roles that are enough */
export function judgeRights(
  answers: readonly RightAnswer[],
  user: Answer<string>,
  roles: string,
): Finding[] {
  const missing = answers.filter(({ isAllowed }) => !isAllowed);
  const needed = missing.filter(({ right }) => right.needed === "always");
  const optional = missing.filter(({ right }) => right.needed === "optional");
  const allowed = answers.length - missing.length;
  const who = user.kind === "known" && user.value !== "" ? `user "${user.value}"` : "you";
  const where = (of: readonly RightAnswer[]): string =>
    [...new Set(of.map(({ namespace }) => `"${namespace}"`))].join(" and ");
  const found: Finding[] = [];
  if (missing.length === 0)
    found.push(rights.ok("all", `${allowed} of ${answers.length} that a session uses`));
  if (needed.length > 0)
    found.push(
      rights.problem("missing", `${who} may not, in namespace ${where(needed)}: ${told(needed)}`, {
        why: reasonOf(needed),
        hints: [`ask for this:\n${roles.trimEnd()}`],
      }),
    );
  if (optional.length > 0)
    found.push(
      rights.note(
        "optional",
        `not needed, and missing in namespace ${where(optional)}: ${told(optional)}`,
        needed.length > 0 ? {} : { hints: ["a Role with everything: inpod doctor --print-role"] },
      ),
    );
  return found;
}

/** An authorizer that says no has a reason; RBAC, which only never says yes, has none. */
const reasonOf = (answers: readonly RightAnswer[]): string =>
  [...new Set(answers.map(({ reason }) => reason).filter((reason) => reason !== ""))].join("; ");
