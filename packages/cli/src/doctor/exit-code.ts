/** How `inpod doctor` ends: by the first group that has a problem, with the code that `inpod exec` would have. */
import type { Finding, Group } from "./finding.ts";
import { GROUPS } from "./finding.ts";

const CODES: Readonly<Record<Group, readonly [code: number, what: string]>> = {
  program: [
    126,
    "the program cannot be started, or would not be in the pod's place (127: it is not there)",
  ],
  machine: [6, "this machine"],
  cluster: [4, "the cluster: kubeconfig, login, versions, namespace"],
  rights: [7, "rights are missing"],
  target: [3, "the target"],
  agent: [5, "the agent would not be let in, or not start"],
};
const NOT_THERE = 127;

export function exitCodeOfFindings(findings: readonly Finding[]): number {
  const problems = findings.filter(({ level }) => level === "problem");
  const group = GROUPS.find((each) => problems.some((problem) => problem.group === each));
  if (group === undefined) return 0;
  if (problems.some(({ id }) => id === "program-not-found")) return NOT_THERE;
  return CODES[group][0];
}

/** For --help, in the order in which the first decides. */
export const doctorExitCodeHelp = (): string =>
  [
    [0, "no problem (there may be notes and warnings)"] as const,
    [2, "wrong usage or configuration"] as const,
    ...GROUPS.map((group) => CODES[group]),
  ]
    .map(([code, what]) => `  ${String(code).padStart(3)}  ${what}`)
    .join("\n");
