/** What the target's owners allow, by `inpod.dev/policy` of the pod and its namespace. Pure. */
import { ALLOWS_ALL, parsePolicy, renderPolicy, stricter } from "@inpod/protocol";
import { type Finding, findingsOf } from "../finding.ts";

const { note, problem } = findingsOf("target");

const ANNOTATION = "inpod.dev/policy";

/** @param owners the annotations of each, by what it is: `pod/orders` */
export function judgePolicy(
  owners: Readonly<Record<string, Readonly<Record<string, string>>>>,
  isStealing: boolean,
): Finding[] {
  const found: Finding[] = [];
  const where: string[] = [];
  let policy = ALLOWS_ALL;
  for (const [name, annotations] of Object.entries(owners)) {
    const text = annotations[ANNOTATION];
    if (text === undefined) continue;
    try {
      policy = stricter(policy, parsePolicy(text));
      where.push(name);
    } catch (error) {
      found.push(
        problem("policy-unreadable", `${ANNOTATION} of ${name} is not understood`, {
          why: `${error instanceof Error ? error.message : String(error)}; a rule that is passed over would be broken`,
          hints: ["ask who owns it to correct it"],
        }),
      );
    }
  }
  const said = renderPolicy(policy);
  if (said === "") return found;
  const of = where.join(" and ");
  if (isStealing && policy.steal === "forbidden")
    return [
      ...found,
      problem("policy-steal", `${ANNOTATION} of ${of} says ${said}`, {
        why: "the owners of the target do not want its traffic to be taken, and inpod obeys",
        hints: ["leave out --steal (feature.network.incoming)", "or ask them"],
      }),
    ];
  return [
    ...found,
    note("policy", `${ANNOTATION} of ${of} says ${said}`, {
      why: "the owners of the target want that of a session, and inpod obeys",
    }),
  ];
}
