/** `inpod verify-config`: whether a configuration is good, and what of it counts. */
import { UserError } from "@inpod/protocol";
import { parseTarget } from "@inpod/targets/path";
import { effectiveValues } from "../config/effective.ts";
import { editorSchemas } from "../config/generated.ts";
import { type LoadedConfig, loadSources } from "../config/load.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { VerifyConfigArguments } from "./arguments.ts";

const GOOD: CommandResult = { code: 0 };

/** @throws UserError CONFIG_*, TARGET_INVALID: what is not good */
export function runVerifyConfig(
  { task, flags, isFileWanted }: VerifyConfigArguments,
  { env, directory, stdout }: Io,
): CommandResult {
  if (task === "print-schema") {
    stdout.write(asJson(editorSchemas()["schema/inpod.schema.json"]));
    return GOOD;
  }
  // What counts is known without a file too; whether it is good is asked of one.
  const isNeeded = isFileWanted || task === "check";
  const loaded = loadSources({
    ...{ flags, env, directory, targetProblem },
    isFileWanted: isNeeded,
  });
  const { target } = loaded.config;
  if (target !== undefined) parseTarget(target);
  stdout.write(task === "check" ? report(loaded) : asJson(resolved(loaded)));
  return GOOD;
}

/** In one line, with what was most likely meant. */
function targetProblem(target: string): string | undefined {
  try {
    parseTarget(target);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const [hint] = error.hints;
    return hint === undefined ? error.message : `${error.message}; ${hint}`;
  }
}

const asJson = (value: unknown): string => `${JSON.stringify(value, undefined, 2)}\n`;

function report({ path, config }: LoadedConfig): string {
  const lines = [
    `${path} is good`,
    ...(config.target === undefined ? ["it names no target: --target does"] : []),
    ...config.ignoredKeys.map((key) => `"${key.path}" has no effect: ${key.why}`),
  ];
  return `${lines.join("\n")}\n`;
}

const resolved = (loaded: LoadedConfig) => ({
  file: loaded.path ?? null,
  ownConfiguration: loaded.ownPath ?? null,
  values: effectiveValues(loaded),
  withoutEffect: loaded.config.ignoredKeys,
});
