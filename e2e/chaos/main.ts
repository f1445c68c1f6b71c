/**
 * `npm run chaos`: sessions of every service mode, each with one accident at a random moment, and clients that ask all the
 * while: nothing may be left, and no request be lost but those that the accident explains.
 *
 *   npm run chaos -- [--seed N] [--rounds N] [--minutes N] [--workers N] [--modes A,B] [--acts A,B]
 *
 * On the cluster of KUBECONFIG, with the agent's image of INPOD_AGENT_IMAGE or the CLI's own. A round is made again by its
 * seed, which is printed with it, and `--rounds 1`. Status 1 when something is wrong.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { kubectl, noCluster } from "../support/kubectl.ts";
import { DevServer } from "../support/service-modes.ts";
import { ACTS } from "./acts.ts";
import { MODES } from "./modes.ts";
import { round } from "./round.ts";
import { World } from "./world.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    rounds: { type: "string", default: "100" },
    minutes: { type: "string", default: "30" },
    workers: { type: "string", default: "2" },
    modes: { type: "string" },
    acts: { type: "string" },
  },
});
if (noCluster) throw new Error(noCluster);

const named = <T extends { readonly name: string }>(
  all: readonly T[],
  names: string | undefined,
): readonly T[] => {
  const wanted = names?.split(",");
  const found = all.filter(({ name }) => wanted?.includes(name) ?? true);
  if (found.length > 0) return found;
  throw new Error(`none of ${all.map(({ name }) => name).join(",")}`);
};
const modes = named(MODES, values.modes);
const acts = named(ACTS, values.acts);
const seed = Number(values.seed);
const until = Date.now() + Number(values.minutes) * 60_000;

const folder = mkdtempSync(join(tmpdir(), "inpod-chaos-"));
const server = new DevServer();
let next = 0;
let wrong = 0;
let isOver = false;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.once(signal, () => {
    isOver = true;
    console.log(
      "ending when the rounds that run are over; at once by the same again, which leaves namespaces",
    );
  });

async function work(): Promise<void> {
  let world: World | undefined;
  try {
    while (!isOver && next < Number(values.rounds) && Date.now() < until) {
      const own = seed + next++;
      if (world === undefined) {
        world = new World(`inpod-chaos-${own}-${Math.random().toString(36).slice(2, 6)}`);
        await world.make();
      }
      const { line, faults, output } = await round({
        ...{ world, seed: own, modes, acts, server, folder },
      });
      console.log(`${faults.length === 0 ? "ok" : "WRONG"} ${line}`);
      if (faults.length === 0) continue;
      wrong++;
      for (const fault of faults) console.log(`  ! ${fault}`);
      console.log(output.replace(/^/gm, "  | "));
      // The next one begins with nothing of this.
      await kubectl("delete", "namespace", world.namespace, "--wait=false");
      world = undefined;
    }
  } finally {
    if (world !== undefined)
      await kubectl("delete", "namespace", world.namespace, "--wait=false").catch(() => {});
  }
}

try {
  await server.start();
  await Promise.all(Array.from({ length: Number(values.workers) }, work));
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${next} rounds, ${wrong} of them wrong`);
process.exitCode = wrong === 0 ? 0 : 1;
