/** Whether an agent would be let in beside the target, and come to run. Pure. */

import type { UserError } from "@inpod/protocol";
import type { AgentOutlook, TargetFacts } from "@inpod/targets";
import { causeOf, type Finding, findingOfError, findingsOf } from "../finding.ts";
import type { SessionWish } from "../session-wish.ts";
import { judgeImage, judgeTag } from "./image.ts";
import { judgeNode } from "./node.ts";

const { ok, note, problem } = findingsOf("agent");

/** @param version of this inpod */
export function judgeAgent(
  { agent, node, taken, pod }: Extract<TargetFacts, { kind: "found" }>,
  version: string,
  wish: SessionWish,
): Finding[] {
  return [
    ...judgeRungs(agent, wish),
    ...(node.kind === "known"
      ? judgeNode(node.value, taken, agent)
      : [
          note("node-unknown", `node "${pod.node ?? ""}" was not looked at`, {
            why: `${node.why}; a session does not need to`,
          }),
        ]),
    ...judgeImage(agent, node.kind === "known" ? node.value : undefined, version),
  ];
}

/** The scheduler chooses its node: of that one nothing is known before. */
export const judgeTargetless = (agent: AgentOutlook, version: string): Finding[] => [
  ...judgeRungs(agent, { isStealing: false, isEphemeral: false }),
  ...judgeTag(agent.image, version),
];

const WORDS: Readonly<Record<AgentOutlook["rungs"][number]["rung"], string>> = {
  job: "a job",
  ephemeral: "an ephemeral container",
  "unprivileged-ephemeral": "an unprivileged ephemeral container",
  relay: "a relay pod",
  targetless: "a job without a target",
};
const STAYS = "its entry stays in the pod's spec until the pod is deleted";

function judgeRungs(
  { rungs, namespace }: AgentOutlook,
  wish: Pick<SessionWish, "isStealing" | "isEphemeral">,
): Finding[] {
  const [wanted, ...others] = rungs;
  if (wanted === undefined) return [];
  if (!wanted.isAsked)
    return [
      note(
        "untried",
        `whether namespace "${namespace}" takes the agent (${WORDS[wanted.rung]}) was not tried`,
        {
          why: "you may not create pods, by which it is asked in a dry run; a session finds out when it starts",
        },
      ),
    ];
  if (wanted.refused === undefined)
    return [
      ok(wanted.rung, `namespace "${namespace}" takes ${WORDS[wanted.rung]} (tried by a dry run)`),
    ];
  const taken = others.find(({ refused }) => refused === undefined);
  if (taken?.rung === "unprivileged-ephemeral" && wish.isEphemeral)
    return [unprivileged(wanted.refused, wish)];
  const finding = refusedFinding(wanted.refused);
  const hint =
    taken !== undefined
      ? `let it be ${WORDS[taken.rung]}, which the cluster takes${taken.rung === "ephemeral" ? "" : ", for everything but incoming traffic"}: -e (${STAYS})`
      : others.length > 0
        ? `an ephemeral container is refused as well: ${others[0]?.refused?.message ?? ""}`
        : undefined;
  return [hint === undefined ? finding : { ...finding, hints: [hint, ...finding.hints] }];
}

function unprivileged(
  refused: UserError,
  { isStealing }: Pick<SessionWish, "isStealing">,
): Finding {
  const what = "only an unprivileged ephemeral container is taken: nothing comes in from the pod";
  const why = [refused.message, causeOf(refused)].filter((text) => text !== "").join(": ");
  return isStealing
    ? problem("no-incoming", what, { why, hints: ["leave out --steal", ...refused.hints] })
    : note("unprivileged", what, { why });
}

const refusedFinding = (refused: UserError): Finding => {
  const finding = findingOfError("agent", refused);
  return refused.code === "REFUSED" ? namedRefusal(finding) : finding;
};

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
