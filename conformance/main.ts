/**
 * `npm run conformance`: every program in the pod's place, each beside what is observed in the pod itself; writes the
 * table of docs/programs.md.
 *
 *   npm run conformance -- [--only PART-OF-A-NAME]... [--no-write]
 *
 * Without write where only some are run. Ends with 1 where a program observes something else than in the pod.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { startSandbox } from "@inpod/sandbox";
import { groups } from "./rows/index.ts";
import { askPod, type Result, Session } from "./session.ts";
import { withTable } from "./table.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true, default: [] },
    "no-write": { type: "boolean", default: false },
  },
});
const isChosen = (name: string): boolean =>
  values.only.length === 0 || values.only.some((part) => name.includes(part));
const chosen = groups
  .map((group) => ({ ...group, rows: group.rows.filter(({ name }) => isChosen(name)) }))
  .filter(({ rows }) => rows.length > 0);
if (chosen.length === 0) throw new Error(`no program has ${values.only.join(" or ")} in its name`);

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });

const results: Result[] = [];
const sandbox = await startSandbox();
try {
  const inPod = await askPod(sandbox);
  for (const group of chosen) {
    const session = await Session.start(sandbox, inPod, group);
    try {
      for (const row of group.rows) {
        const result = await session.ask(row);
        results.push(result);
        tell(result);
      }
    } finally {
      await session.end();
    }
  }
} finally {
  await sandbox.stop();
}
if (values.only.length === 0 && !values["no-write"]) {
  const path = join(root, "docs/programs.md");
  const circumstances = {
    day: new Date().toISOString().slice(0, 10),
    kernel: release().replace(/-.*/, ""),
    arch: process.arch === "x64" ? "x86-64" : process.arch,
    user: process.getuid?.() === 0 ? "root" : "an ordinary user",
  };
  writeFileSync(path, withTable(readFileSync(path, "utf8"), results, circumstances));
}

function tell({ name, version, cells, missing, told }: Result): void {
  const red = Object.entries(cells).flatMap(([column, cell]) =>
    cell.kind === "no" ? [`  ${column}: ${cell.why}`] : [],
  );
  if (red.length > 0) process.exitCode = 1;
  const word = missing ?? (red.length === 0 ? "as in the pod" : "differs");
  process.stdout.write(`${[`${name} ${version}`.trim(), word].join(": ")}\n`);
  if (red.length > 0) process.stdout.write(`${red.join("\n")}\n${told}\n`);
}
