/** Whether somebody holds an agent, judged by what the cluster says of it and what it says itself. Pure. */
import type { AgentFacts } from "./facts.ts";

/** What the agent answered when it was looked at; `no-answer` with the reason. */
export type AgentAnswer =
  | { readonly kind: "sessions"; readonly count: number }
  | { readonly kind: "no-answer"; readonly why: string }
  | { readonly kind: "not-asked" };

export type Judgement =
  /** A session uses it. */
  | { readonly verdict: "held"; readonly why: string }
  /** It may be on its way to its first session. */
  | { readonly verdict: "starting"; readonly why: string }
  | { readonly verdict: "left"; readonly why: string }
  /** Nobody can take it away; its process has ended. */
  | { readonly verdict: "entry"; readonly why: string }
  | { readonly verdict: "unknown"; readonly why: string };

export function judge(facts: AgentFacts, answer: AgentAnswer, nowMs: number): Judgement {
  if (facts.state === "ended")
    return facts.kind === "ephemeral"
      ? { verdict: "entry", why: "it has ended; its entry stays in the pod's spec" }
      : { verdict: "left", why: "it has ended" };
  if (answer.kind === "sessions" && answer.count > 0)
    return { verdict: "held", why: sessions(answer.count) };
  if (facts.deadlineMs < nowMs) return { verdict: "left", why: "its deadline is over" };
  const isYoung = nowMs < facts.startsUntilMs;
  if (facts.state === "waiting" && answer.kind !== "sessions")
    return isYoung
      ? { verdict: "starting", why: "it has not started yet" }
      : { verdict: "left", why: "it did not start" };
  switch (answer.kind) {
    case "sessions":
      return isYoung
        ? { verdict: "starting", why: "it waits for its first session" }
        : { verdict: "left", why: "no session speaks with it" };
    case "no-answer":
      return { verdict: "unknown", why: `it does not say: ${answer.why}` };
    case "not-asked":
      return { verdict: "unknown", why: "it was not asked" };
  }
}

const sessions = (count: number): string => `${count} session${count === 1 ? "" : "s"}`;
