/** Whether an agent would be let in beside the target, and come to run. Pure. */
import type { AgentOutlook, TargetFacts } from "@inpod/targets";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";
import { judgeImage } from "./image.ts";
import { judgeNode } from "./node.ts";

const { ok, note } = findingsOf("agent");

/** @param version of this inpod */
export function judgeAgent(
  facts: Extract<TargetFacts, { kind: "found" }>,
  version: string,
): Finding[] {
  return [
    ...judgeRungs(facts.agent),
    ...(facts.node.kind === "known"
      ? judgeNode(facts.node.value, facts.taken, facts.agent)
      : [
          note("node-unknown", `node "${facts.pod.node ?? ""}" was not looked at`, {
            why: `${facts.node.why}; a session does not need to`,
          }),
        ]),
    ...judgeImage(facts.agent, facts.node.kind === "known" ? facts.node.value : undefined, version),
  ];
}

function judgeRungs({ rungs, namespace }: AgentOutlook): Finding[] {
  return rungs.map(({ rung, refused, isAsked }) => {
    if (!isAsked)
      return note(
        "untried",
        `whether namespace "${namespace}" takes the agent (${rung}) was not tried`,
        {
          why: "you may not create pods, by which it is asked in a dry run; a session finds out when it starts",
        },
      );
    if (refused === undefined)
      return ok(rung, `namespace "${namespace}" takes it (${rung}, tried by a dry run)`);
    const finding = findingOfError("agent", refused);
    return refused.code === "REFUSED" ? namedRefusal(finding) : finding;
  });
}

/** Admission has many authors; their words are all that there is. */
const REFUSALS: readonly (readonly [id: string, words: RegExp, hint: string])[] = [
  [
    "limit-range",
    /(maximum|minimum) .* usage per (Container|Pod) is|limit to request ratio/i,
    "see it: kubectl describe limitrange; the agent's share: agent.resources in the configuration",
  ],
  ["policy", /ValidatingAdmissionPolicy/, "see it: kubectl get validatingadmissionpolicies"],
  [
    "webhook",
    /admission webhook|denied the request/,
    "ask who runs it for an exception, for the label app.kubernetes.io/managed-by=inpod",
  ],
];

function namedRefusal(finding: Finding): Finding {
  const named = REFUSALS.find(([, words]) => words.test(finding.why));
  if (named === undefined) return finding;
  return { ...finding, id: `agent-${named[0]}`, hints: [named[2], ...finding.hints] };
}
