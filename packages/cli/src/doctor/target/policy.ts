/** What the target's owners allow, by `inpod.dev/policy`. Pure. */
import { renderPolicy, UserError } from "@inpod/protocol";
import type { TargetPolicy } from "@inpod/targets";
import { type Finding, findingOfError, findingsOf } from "../finding.ts";

const { note, problem } = findingsOf("target");

export function judgePolicy(policy: TargetPolicy | UserError, isStealing: boolean): Finding[] {
  if (policy instanceof UserError) return [findingOfError("target", policy)];
  const said = renderPolicy(policy);
  if (said === "") return [];
  const what = `inpod.dev/policy of ${policy.from.join(" and ")} says ${said}`;
  if (isStealing && policy.steal !== "allowed")
    return [
      problem("policy-steal", what, {
        why: "the owners of the target do not want its traffic to be taken: inpod refuses",
        hints: [
          "leave out --steal: the target answers, and your program gets copies of the requests",
          "or take the place of a target that is yours",
        ],
      }),
    ];
  return [
    note("policy", what, {
      why: "the owners of the target want that of a session, and inpod obeys",
    }),
  ];
}
