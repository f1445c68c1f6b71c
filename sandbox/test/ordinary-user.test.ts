import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { access, constants } from "node:fs/promises";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { outcome } from "./run.ts";

const ORDINARY = ["--reuid", "12345", "--regid", "12345", "--clear-groups", "--inh-caps=-all"];
const here = fileURLToPath(new URL(".", import.meta.url));

test("everything about the sandbox is also true for an ordinary user", async (t) => {
  if (process.getuid?.() !== 0) return t.skip("needs root, to become an ordinary user");
  await access(here, constants.R_OK);
  const visible = await outcome(spawn("setpriv", [...ORDINARY, "test", "-r", `${here}/run.ts`]));
  if (visible.code !== 0) return t.skip("needs a checkout that other users can read");
  const env: NodeJS.ProcessEnv = { ...process.env, HOME: "/tmp" };
  delete env.NODE_TEST_CONTEXT;
  const node = [process.execPath, "--import", "tsx", "--test", "--test-reporter=tap"];
  const argv = [...ORDINARY, ...node, `${here}/sandbox.test.ts`];
  const { code, stdout, stderr } = await outcome(
    spawn("setpriv", argv, { cwd: `${here}/..`, env }),
  );
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /^# pass [1-9]/m);
});
