import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { assertNothingHeld, compile, folder, letGo, ruleFor, run, tap } from "./support.ts";

after(() => tap.unref());
chmodSync(folder, 0o711); // the program has no rights

/** Longer: INPOD_FUZZ_SECONDS. */
const SECONDS = Number(process.env.INPOD_FUZZ_SECONDS ?? 5);
const FIRST_SEED = Number(process.env.INPOD_FUZZ_SEED ?? 1);
const CALLS = 2000;
const RACE_ROUNDS = 3;

const source = fileURLToPath(new URL("fuzz-calls.c", import.meta.url));
const program = compile(
  "fuzz-calls",
  readFileSync(source, "utf8"),
  "-std=gnu11",
  "-D_GNU_SOURCE",
  "-pthread",
);
const fresh = (): Record<string, string> => ({ FUZZ_FOLDER: mkdtempSync(join(folder, "fuzz-")) });

/** Seeds from the first one on, until the time is over; at least one. */
async function seeds(seconds: number, each: (seed: number) => Promise<void>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  let seed = FIRST_SEED;
  do await each(seed++);
  while (performance.now() < end);
}

function differences(native: string, tapped: string): readonly string[] {
  const ours = tapped.split("\n");
  return native
    .split("\n")
    .flatMap((line, index) =>
      line === ours[index] ? [] : [`natively ${line}; tapped ${ours[index]}`],
    );
}

test("calls with random addresses, lengths, paths and messages have the errno that they have without the tap", async () => {
  tap.setPathRules([{ ...ruleFor("/"), match: "prefix" }]);
  await seeds(SECONDS, async (seed) => {
    const argv = [String(seed), String(CALLS)];
    const { stdout } = await promisify(execFile)(program, argv, { env: fresh() });
    const tapped = await run([program, ...argv], letGo, { env: fresh() });
    assert.equal(tapped.code, 0, `seed ${seed}: ${tapped.signal} ${tapped.stderr}`);
    assert.deepEqual(differences(stdout, tapped.stdout).slice(0, 10), [], `seed ${seed}`);
  });
  await assertNothingHeld();
});

test("threads that take memory and descriptors away, execute and end meanwhile hold no call, and nobody up", async () => {
  tap.setPathRules([{ ...ruleFor("/"), match: "prefix" }]);
  let turns = 0;
  const turning = setInterval(() => turns++, 20);
  await seeds(SECONDS / 2, async (seed) => {
    turns = 0;
    const argv = [String(seed), String(RACE_ROUNDS), "race"];
    const { code, signal, stdout } = await run([program, ...argv], letGo, { env: fresh() });
    assert.equal(stdout, "alive\n", `seed ${seed}: ${code} ${signal}`);
    assert.ok(turns > 0, `seed ${seed}: the event loop stood still`);
  });
  clearInterval(turning);
  await assertNothingHeld(tap.statistics().expired);
  tap.setPathRules([]);
});
