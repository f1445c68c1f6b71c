/** The pod's files, written through inpod, before programs that test file systems: fsx and pjdfstest, by others. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isRoot, runInpod, useSandbox } from "./exec-support.ts";
import { LEFT_OUT, missing, readSuiteResult, suiteMissing, suiteProgram } from "./file-suite.ts";

const { sandbox, inventory, folder } = await useSandbox();

const config = { feature: { fs: { mode: "write", read_write: ["^/app/suite(/|$)"] } } };

await inPod("mkdir -m 777 /app/suite");

async function inPod(script: string): Promise<void> {
  const child = sandbox.inPod(["sh", "-c", script], { stdio: "inherit" });
  const code = await new Promise((resolve) => child.once("close", resolve));
  assert.equal(code, 0, script);
}

for (const seed of [1, 2]) {
  const skip = suiteMissing("fsx");
  test(`fsx: 3,000 random operations on one file, seed ${seed}`, { skip }, async () => {
    const argv = [suiteProgram("fsx"), "-N", "3000", "-S", String(seed), "-P", folder];
    const { code, stdout, stderr } = await runInpod(sandbox, [...argv, `/app/suite/fsx-${seed}`], {
      config,
      cwd: folder,
    });
    assert.equal(code, 0, stdout.slice(-2000) + stderr);
    await inventory.assertAsBefore(folder);
  });
}

test("fio: random writes, and every block verified", { skip: missing("fio") }, async () => {
  const job =
    "--name=v --rw=randwrite --bs=4k --size=4m --ioengine=psync --verify=crc32c --do_verify=1";
  const mapped =
    "--name=m --rw=randwrite --bs=4k --size=2m --ioengine=mmap --verify=md5 --do_verify=1";
  const argv = ["fio", "--directory=/app/suite", "--output-format=terse", "--thread"];
  for (const each of [job, mapped]) {
    const { code, stdout, stderr } = await runInpod(sandbox, [...argv, ...each.split(" ")], {
      config,
      cwd: folder,
    });
    assert.equal(code, 0, stdout.slice(-2000) + stderr);
  }
  await inventory.assertAsBefore(folder);
});

test("pjdfstest: POSIX, case by case", { skip: suiteMissing("pjdfstest") }, async () => {
  const groupOf = (user: string) => execFileSync("id", ["-gn", user], { encoding: "utf8" }).trim();
  const users = ["nobody", "daemon"].map((user) => `["${user}", "${groupOf(user)}"]`);
  const settings = join(folder, "pjdfstest.toml");
  await writeFile(
    settings,
    `[features]\nposix_fallocate = {}\nutimensat = {}\nutime_now = {}\n[settings]\nnaptime = 0.01\n[dummy_auth]\nentries = [${users.join(", ")}]\n`,
  );
  const argv = [suiteProgram("pjdfstest"), "-c", settings, "-p", "/app/suite"];
  const { stdout, stderr } = await runInpod(sandbox, argv, {
    config,
    cwd: folder,
    endTimeoutMs: 150_000,
  });
  const { passed, failed } = readSuiteResult(stdout);
  const unexpected = [...failed].filter((name) => !LEFT_OUT.some(({ cases }) => cases.test(name)));
  assert.deepEqual(unexpected, [], `${stdout.slice(-6000)}\n${stderr}`);
  assert.ok(passed.size >= (isRoot ? 200 : 100), `${passed.size} passed\n${stdout.slice(-3000)}`);
  await inventory.assertAsBefore(folder);
});
