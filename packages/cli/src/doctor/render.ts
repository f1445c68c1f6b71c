/** Findings as text for a person, and as JSON for a script. Pure. */
import pc from "picocolors";
import { printable } from "../io.ts";
import { exitCodeOfFindings } from "./exit-code.ts";
import { type Finding, GROUPS, type Group, type Level } from "./finding.ts";

export interface Report {
  /** Of this inpod. */
  readonly version: string;
  readonly target: string | undefined;
  readonly findings: readonly Finding[];
  /** Groups that were not looked at, and why. */
  readonly skipped: Readonly<Partial<Record<Group, string>>>;
  /** YAML of the Roles that are enough; undefined: no cluster was asked. */
  readonly roles: string | undefined;
}

/** Its number changes when a field changes its meaning or goes. */
const SHAPE = 1;

export function renderJson({ version, target, findings, skipped, roles }: Report): string {
  const report = {
    shape: SHAPE,
    version,
    target: target ?? null,
    exitCode: exitCodeOfFindings(findings),
    findings,
    skipped,
    role: roles ?? null,
  };
  return `${JSON.stringify(report, null, 2)}\n`;
}

const MARKS: Readonly<Record<Level, string>> = { ok: "✓", note: "·", warning: "!", problem: "✗" };
const WIDTH = Math.max(...GROUPS.map((group) => group.length)) + 2;

export function renderText({ findings, skipped }: Report, color: boolean): string {
  const { green, yellow, red, cyan, dim } = pc.createColors(color);
  const paint = { ok: green, note: cyan, warning: yellow, problem: red };
  const lines: string[] = [];
  for (const group of GROUPS) {
    const title = group.padEnd(WIDTH);
    const of = findings.filter((each) => each.group === group);
    const good = of.filter(({ level }) => level === "ok").map(({ what }) => what);
    if (good.length > 0) lines.push(`${green(MARKS.ok)} ${title}${printable(good.join("; "))}`);
    const why = skipped[group];
    if (why !== undefined) lines.push(dim(`- ${title}not looked at: ${printable(why)}`));
    for (const finding of of.filter(({ level }) => level !== "ok")) {
      const { level, what, id, hints } = finding;
      lines.push(`${paint[level](MARKS[level])} ${title}${indented(what)} ${dim(`[${id}]`)}`);
      if (finding.why !== "") lines.push(`    ${dim("why:")} ${indented(finding.why)}`);
      for (const hint of hints) lines.push(`    ${cyan("hint:")} ${indented(hint)}`);
    }
  }
  lines.push("", summary(findings));
  return `${lines.join("\n")}\n`;
}

function summary(findings: readonly Finding[]): string {
  const count = (level: Level): number => findings.filter((each) => each.level === level).length;
  const some = (level: Level): string[] => {
    const n = count(level);
    return n === 0 ? [] : [`${n} ${level}${n === 1 ? "" : "s"}`];
  };
  const told = [...some("problem"), ...some("warning"), ...some("note")];
  return told.length === 0 ? "all good" : told.join(", ");
}

/** The lines below the first are to be pasted, or belong to it. */
const indented = (text: string): string => printable(text).trimEnd().replaceAll("\n", "\n      ");
