/** What we ship in C, for arm64. On an arm64 machine the compiler of that name is its own. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { compilerArguments, NATIVE } from "../native.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "inpod-arm64-"));
after(() => rmSync(folder, { recursive: true }));

const COMPILER = "aarch64-linux-gnu-gcc";
/** e_machine of elf(5). */
const EM_AARCH64 = 183;

const hasCompiler = ((): boolean => {
  try {
    execFileSync(COMPILER, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

for (const part of NATIVE) {
  test(`${part.name} compiles for arm64 without a warning`, {
    skip: hasCompiler ? false : `${COMPILER} is not there`,
  }, () => {
    const output = join(folder, part.name);
    execFileSync(COMPILER, compilerArguments(part, output), { cwd: root, stdio: "inherit" });
    const header = readFileSync(output).subarray(0, 64);
    assert.equal(header.readUInt16LE(18), EM_AARCH64);
  });
}
