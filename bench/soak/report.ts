/** What a run has seen, in words, and as a part of bench/RESULTS.md. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, release } from "node:os";
import { dirname } from "node:path";
import type { SessionStatistics } from "../../packages/cli/src/exec/statistics.ts";
import type { Asked } from "./clients.ts";
import type { Fit } from "./fit.ts";
import { soakSection } from "./section.ts";
import type { Work } from "./session.ts";

type Counts = Readonly<Record<string, number>>;

export interface Report {
  readonly seed: number;
  readonly workMs: number;
  /** How often a session was stopped by Ctrl-Z. */
  readonly stops: number;
  readonly works: readonly Work[];
  readonly asked: Asked["counts"];
  readonly taps: readonly { readonly name: string; readonly last: SessionStatistics | undefined }[];
  readonly descriptors: readonly {
    readonly name: string;
    readonly before: Counts;
    readonly after: Counts;
  }[];
  readonly fits: readonly (readonly [what: string, fit: Fit])[];
  /** Empty: all was as it must be. */
  readonly wrong: readonly string[];
}

const n = (value: number): string => Math.round(value).toLocaleString("en");

function totals(works: readonly Work[]): Counts {
  const all: Record<string, number> = {};
  for (const { counts } of works) {
    for (const [name, count] of Object.entries(counts)) all[name] = (all[name] ?? 0) + count;
  }
  return all;
}

function sentences(report: Report): string[] {
  const counts = Object.entries(totals(report.works));
  const all = counts.reduce((sum, [, count]) => sum + count, 0);
  const asked = Object.values(report.asked);
  const ok = asked.reduce((sum, each) => sum + each.ok, 0);
  const missed = asked.reduce((sum, each) => sum + each.missed, 0);
  return [
    `${n(all)} items of work, each of which verified its own answers: ${counts.map(([name, count]) => `${name} ${n(count)}`).join(", ")}.`,
    `${n(ok)} connections of the pod's clients to the session's servers in C, Node and Python, each answered once, by them, with the client's true address; ${n(missed)} more while a session was stopped.`,
    `Ctrl-Z and fg: ${report.stops} times.`,
    ...report.taps.map(({ name, last }) => {
      if (!last) return `${name}: no statistics.`;
      const { received, answered, cancelled, expired, joined } = last.tap;
      return `${name}: ${n(received)} calls trapped, ${n(answered)} answered, ${n(cancelled)} taken away by signals or their process's end (${n(joined)} of them came again and joined), ${n(received - answered - cancelled)} held at its end, ${n(expired)} answered by a deadline.`;
    }),
    ...report.descriptors.map(
      ({ name, before, after }) =>
        `${name}, descriptors before and after: ${Object.entries(before)
          .map(([role, count]) => `${role} ${count} → ${after[role] ?? "gone"}`)
          .join(", ")}.`,
    ),
  ];
}

/** What a program said, in a sentence. */
const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim().slice(0, 300);

const verdict = ({ wrong }: Report): string =>
  wrong.length === 0
    ? "Nothing was wrong: no call lost, nothing left in use at rest, no zombie, no process or rule left at the end."
    : `**Wrong:** ${wrong.map((each) => `\`${oneLine(each).replaceAll("`", "'")}\``).join("; ")}.`;

export function summary(report: Report): string {
  const fits = report.fits.map(
    ([what, { mean, slope, growth, rise }]) =>
      `${what}: ${mean.toFixed(1)} MB, ${(slope * 60).toFixed(2)} MB/h, ${growth.toFixed(2)} MB in the run, the least of its halves ${rise.toFixed(2)} MB`,
  );
  const wrong = report.wrong.map((line) => `WRONG: ${line}`);
  return [`seed ${report.seed}`, ...sentences(report), ...fits, ...wrong].join("\n");
}

function section(report: Report): string {
  const { seed, workMs, fits } = report;
  const rows = fits.map(
    ([what, { mean, slope, growth, rise }]) =>
      `| ${what} | ${mean.toFixed(1)} | ${(slope * 60).toFixed(2)} | ${growth.toFixed(2)} | ${rise.toFixed(2)} |`,
  );
  return `## Soak

Written by \`npm run soak -- --minutes ${Math.round(workMs / 60_000)} --seed ${seed}\`. ${new Date().toISOString().slice(0, 10)} · Linux ${release()} · ${availableParallelism()} cores · load ${loadavg()[0]?.toFixed(1)} at the end. Two sessions beside one pod, four items of work at a time in each.

${verdict(report)}

${sentences(report)
  .map((sentence) => `- ${sentence}`)
  .join("\n")}

A line through the samples of memory, without the first third of the run, while caches fill, and by how much the least of
the second half is above the least of the first. (What is not collected yet goes up and down by some ten MB; a leak shows in
both.)

| what | mean, MB | slope, MB/h | in the run, MB | least, MB |
| --- | --- | --- | --- | --- |
${rows.join("\n")}
`;
}

/** @returns the path */
export function writeSection(report: Report, path: string): string {
  const text = readFileSync(path, "utf8");
  const old = soakSection(text);
  const whole =
    old === "" ? `${text.trimEnd()}\n\n${marked(report)}` : text.replace(old, () => marked(report));
  writeFileSync(path, whole);
  const options = { cwd: dirname(path), stdio: "ignore" } as const;
  execFileSync("npx", ["biome", "format", "--write", path], options);
  return path;
}

const marked = (report: Report): string =>
  `<!-- soak -->\n\n${section(report)}\n<!-- end of soak -->\n`;
