import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { UserError } from "@inpod/protocol";
import { checkPlatform } from "../src/platform.ts";

const failure = (platform: NodeJS.Platform, version: string): UserError | undefined => {
  try {
    checkPlatform(platform, version);
    return undefined;
  } catch (error) {
    assert.ok(error instanceof UserError);
    return error;
  }
};

for (const version of [
  "5.14.0",
  "5.15.167.4-microsoft-standard-WSL2",
  "6.1.0-18-amd64",
  "6.8",
  "10.0.1",
]) {
  test(`Linux ${version} is good enough`, () => assert.equal(failure("linux", version), undefined));
}

for (const version of ["5.13.19", "5.4.0-150-generic", "5.9", "4.18.0-553.el8_10.x86_64", "3.10"]) {
  test(`Linux ${version} is too old, and the error says which is not`, () => {
    const error = failure("linux", version);
    assert.equal(error?.code, "MACHINE_OLD_KERNEL");
    assert.match(error.message, new RegExp(`Linux ${version} is too old.*5\\.14 or newer`));
  });
}

for (const platform of ["darwin", "win32", "freebsd"] as const) {
  test(`${platform} is told where exec runs instead`, () => {
    const error = failure(platform, "23.5.0");
    assert.equal(error?.code, "MACHINE_NOT_LINUX");
    assert.match(error.message, new RegExp(platform));
    assert.match(error.hints.join("\n"), /WSL2/);
    assert.match(error.hints.join("\n"), /--cap-add SYS_PTRACE/);
  });
}

test("the check loads nothing native: it runs where there is no addon, and no tap's code", () => {
  const loader = `export const load = (url, context, next) => {
    if (/packages\\/(tap|session)\\//.test(url)) throw new Error("loaded: " + url);
    return next(url, context);
  };`;
  const program = `
    process.dlopen = () => { throw new Error("an addon was loaded"); };
    const { register } = await import("node:module");
    register("data:text/javascript," + encodeURIComponent(${JSON.stringify(loader)}));
    const { checkPlatform } = await import("@inpod/layer/platform");
    try { checkPlatform("darwin"); } catch (error) { console.log(error.code); }`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", program],
    {
      cwd: fileURLToPath(new URL("../../..", import.meta.url)),
      encoding: "utf8",
      timeout: 120_000,
    },
  );
  assert.equal(stdout, "MACHINE_NOT_LINUX\n", stderr);
});
