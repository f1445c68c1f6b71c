/** Configurations of tests: files in a folder of their own, loaded as a session would. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { UserError } from "@inpod/protocol";
import { loadConfig, type Sources } from "../src/config/load.ts";
import type { ResolvedConfig } from "../src/config/resolve.ts";

export function directoryWith(t: TestContext, files: Record<string, string>): string {
  const directory = mkdtempSync(join(tmpdir(), "inpod-config-"));
  t.after(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  return directory;
}

export const load = (
  t: TestContext,
  files: Record<string, string>,
  sources: Partial<Sources> = {},
): ResolvedConfig =>
  loadConfig({
    flags: {},
    env: {},
    directory: directoryWith(t, files),
    newKey: () => "made-up",
    ...sources,
  });

export const loadValue = (
  t: TestContext,
  value: unknown,
  sources: Partial<Sources> = {},
): ResolvedConfig => load(t, { ".inpod/inpod.json": JSON.stringify(value) }, sources);

/** What a person is told who wrote it. */
export function problems(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    assert.match(error.code, /^CONFIG_/);
    return error.message;
  }
  return assert.fail("it was accepted");
}
