/** Process trees of every shape: each of their processes finds itself in the pod. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { CLI, isThere, nodeProgram, quoted, Run, runInpod, useSandbox } from "./exec-support.ts";

const { sandbox, inventory, folder } = await useSandbox();

const shapes = join(folder, "shapes");
const source = fileURLToPath(new URL("trees/shapes.c", import.meta.url));
execFileSync("cc", ["-O1", "-Wall", "-Werror", "-pthread", "-o", shapes, source]);
await mkdir(join(folder, "root/config"), { recursive: true });
await writeFile(join(folder, "root/config/greeting"), "of the new root\n");

const SHAPES: Readonly<Record<string, number>> = {
  visit: 0,
  threads: 1000,
  forks: 500,
  spawns: 200,
  executes: 100,
  orphan: 2,
  "pid-namespace": 1,
  "mount-namespace": 1,
  "network-namespace": 1,
  chroot: 1,
  "without-descriptors": 1,
  "few-descriptors": 1,
};

test("threads, forks, spawns, namespaces, roots and limits: every process is in the pod", async () => {
  const visit = [shapes, NETWORK.pod.address, String(NETWORK.pod.echoPort), sandbox.files.greeting];
  const script = Object.entries(SHAPES)
    .map(([mode, n]) => quoted([...visit, mode, ...(n > 2 ? [String(n)] : [])]))
    .join("\n");
  const { stdout, stderr, code } = await runInpod(sandbox, ["sh", "-c", script], {
    env: { ...process.env, ROOT: join(folder, "root") },
  });
  const expected = Object.entries(SHAPES)
    .filter(([, n]) => n > 0)
    .map(([mode, n]) => `${mode}: ${n} of ${n}\n`);
  assert.equal(stdout, expected.join(""), stderr);
  assert.equal(code, 0);
  await inventory.assertAsBefore(folder);
});

const MAKEFILE = `all: one two three four
	@echo made $(MAKELEVEL)
one two three four:
	@$(VISIT) && echo $@ $(MAKELEVEL)
deep: all
	@$(MAKE) --no-print-directory -f $(firstword $(MAKEFILE_LIST)) all
`;

test("what shells, npm, yarn and make start is in the pod, pipelines keep their bytes and exit codes", async (t) => {
  const visit = quoted([
    ...[shapes, NETWORK.pod.address, String(NETWORK.pod.echoPort), sandbox.files.greeting, "visit"],
  ]);
  const scripts = {
    visit: `${visit} && echo by a script`,
    deep: "npm run --silent visit",
    seven: "exit 7",
  };
  await writeFile(
    join(folder, "package.json"),
    JSON.stringify({ name: "x", version: "1.0.0", scripts }),
  );
  await writeFile(join(folder, "Makefile"), MAKEFILE);
  const lines = ["npm run --silent deep; npm run --silent seven; echo npm $?"];
  const expected = ["by a script", "npm 7"];
  const yarn = nodeProgram("yarn");
  if (existsSync(yarn)) {
    lines.push(`${yarn} --silent run visit; ${yarn} --silent run seven; echo yarn $?`);
    expected.push("by a script", "yarn 7");
  } else t.diagnostic("without yarn: sh scripts/prepare.sh tests");
  lines.push(`VISIT="$VISIT" make -s -j4 deep | sort`);
  for (const level of [0, 1])
    expected.push(...["four", "one", "three", "two"].map((name) => `${name} ${level}`));
  expected.push("made 0", "made 1");
  expected.splice(-10, 10, ...expected.slice(-10).sort());
  for (const shell of ["sh", "bash", "zsh"].filter((name) => isThere(name))) {
    const job = `(${visit}) && seq 100000 | { ${visit} && cat; } | tail -n 1 & wait; ${visit} && (exit 3) | (exit 4); echo ${shell} $?`;
    lines.push(quoted([shell, "-c", job]));
    expected.push("100000", `${shell} 4`);
  }
  const { stdout, stderr, code } = await runInpod(sandbox, ["sh", "-c", lines.join("\n")], {
    cwd: folder,
    env: { ...process.env, VISIT: visit, npm_config_update_notifier: "false" },
  });
  assert.deepEqual(stdout.trimEnd().split("\n"), expected, stderr);
  assert.equal(code, 0);
  await inventory.assertAsBefore(folder);
});

test("inpod in a pipeline, and under timeout", async () => {
  const inpod = quoted([process.execPath, CLI, "exec", "--target", `process/${sandbox.pid}`, "--"]);
  const shell = async (script: string): Promise<string> => {
    const run = new Run(sandbox.inLaptop(["bash", "-c", script], { cwd: folder }));
    return (await run.ended).stdout;
  };
  // 141: 128 and SIGPIPE's 13, as of yes alone.
  assert.equal(await shell(`${inpod} yes | head -n 1; echo "\${PIPESTATUS[@]}"`), "y\n141 0\n");
  assert.equal(await shell(`seq 3 | ${inpod} cat | tail -n 1`), "3\n");
  assert.equal(await shell(`timeout 1 ${inpod} sleep 100; echo $?`), "124\n");
  await inventory.assertAsBefore(folder);
});
