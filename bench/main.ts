/**
 * `npm run bench`: measures inpod beside the same thing without it, in turn, and writes bench/RESULTS.md.
 *
 *   npm run bench -- [--quick] [--only NAME]... [--no-write]
 *
 * Figures of a shared machine mean little; their ratios, taken side by side, are what to look at.
 */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, release } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Bed } from "./bed.ts";
import { localConnections } from "./rows/clients.ts";
import { onCluster } from "./rows/cluster.ts";
import { files } from "./rows/files.ts";
import { filtered } from "./rows/filter.ts";
import { handover, stolen } from "./rows/incoming.ts";
import { mirrored } from "./rows/mirror.ts";
import { outgoing } from "./rows/outgoing.ts";
import { ports } from "./rows/ports.ts";
import { wholePrograms } from "./rows/programs.ts";
import { scale } from "./rows/scale.ts";
import { newConnections } from "./rows/servers.ts";
import { memory, startUp } from "./rows/session.ts";
import { soakSection } from "./soak/section.ts";
import { markdown, type Row, type Skipped, text } from "./table.ts";

type Measured =
  | readonly Row[]
  | { readonly rows: readonly Row[]; readonly skipped: readonly Skipped[] };

const GROUPS: Readonly<Record<string, (bed: Bed) => Promise<Measured>>> = {
  start: startUp,
  outgoing,
  stolen,
  servers: newConnections,
  clients: localConnections,
  filter: filtered,
  mirrored,
  handover,
  programs: wholePrograms,
  memory,
  cluster: onCluster,
  ports,
  scale,
  files,
};

const QUICK = { rounds: 1, loadMs: 300 };
const FULL = { rounds: 3, loadMs: 700 };

const { values } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    only: { type: "string", multiple: true, default: [] },
    "no-write": { type: "boolean", default: false },
  },
});
const unknown = values.only.find((name) => !(name in GROUPS));
if (unknown !== undefined) {
  throw new Error(`--only ${unknown}: there are ${Object.keys(GROUPS).join(", ")}`);
}

const folder = dirname(fileURLToPath(import.meta.url));
const root = join(folder, "..");
const say = (line: string): void => void process.stderr.write(`${line}\n`);
const load = (): string => readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");

execFileSync("npm", ["run", "--silent", "build"], { cwd: root, stdio: "inherit" });
const rows: Row[] = [];
const skipped: Skipped[] = [];
const loadBefore = load();
const bed = await Bed.make(values.quick ? QUICK : FULL);
try {
  for (const [name, measure] of Object.entries(GROUPS)) {
    if (values.only.length > 0 && !values.only.includes(name)) continue;
    say(`measuring: ${name} (load ${load()})`);
    const found = await measure(bed).then(
      (measured) => ("rows" in measured ? measured : { rows: measured, skipped: [] }),
      (error: Error) => {
        process.exitCode = 1; // the other groups are still worth having
        return { rows: [], skipped: [{ what: name, why: `failed: ${error.message.trim()}` }] };
      },
    );
    rows.push(...found.rows);
    skipped.push(...found.skipped);
    for (const { what, why } of found.skipped) say(`not measured: ${what}: ${why}`);
  }
} finally {
  await bed.close();
}
process.stdout.write(`${text(rows)}\n`);
if (!values["no-write"]) {
  const path = join(folder, "RESULTS.md");
  // The soak's part is its own.
  const soak = soakSection(readFileSync(path, "utf8"));
  writeFileSync(path, soak === "" ? results() : `${results()}\n${soak}`);
  // `npm run check` looks at it too.
  execFileSync("npx", ["biome", "format", "--write", path], { cwd: root, stdio: "ignore" });
  say(`written: ${path}`);
}

function results(): string {
  const machine = [
    new Date().toISOString().slice(0, 10),
    `Linux ${release()}`,
    `${availableParallelism()} cores`,
    `Node ${process.versions.node}`,
    `load ${loadBefore} before, ${load()} after`,
    values.quick
      ? "--quick: one short sample of each"
      : `medians of ${FULL.rounds} samples each, taken in turn, of load after a first one that is not counted`,
  ];
  return `# Results\n\nWritten by \`npm run bench\`. ${machine.join(" · ")}\n\n${markdown(rows, skipped)}\n`;
}
