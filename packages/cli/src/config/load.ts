/** Finds, reads and checks the configuration. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "@inpod/protocol";
import { newKey as randomKey } from "./key.ts";
import { type Overrides, over, overridesOfEnvironment } from "./overrides.ts";
import { problemsOf } from "./problems.ts";
import { type ResolvedConfig, resolve } from "./resolve.ts";
import { type FileConfig, fileSchema } from "./schema.ts";
import { type IgnoredKey, sortOut } from "./sort-out.ts";
import { parseConfig } from "./syntax.ts";
import { isObject } from "./tree.ts";

/** In the working directory, the first that exists. */
const DEFAULT_FILES = [".inpod/inpod", ".mirrord/mirrord"].flatMap((name) =>
  [".json", ".yaml", ".yml", ".toml"].map((ending) => name + ending),
);

/** Bytes. Nobody writes that by hand. */
const MAX_FILE = 1024 * 1024;

export interface Sources {
  readonly flags: Overrides;
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  /** `-f` without a file: there must be one in its usual place. */
  readonly isFileWanted?: boolean;
  readonly newKey?: (() => string) | undefined;
}

/** @throws UserError CONFIG_* with every problem of the source at once */
export function loadConfig({
  flags,
  env,
  directory,
  isFileWanted = false,
  newKey = randomKey,
}: Sources): ResolvedConfig {
  const { overrides: variables, problems } = overridesOfEnvironment(env);
  if (problems.length > 0) throw configInvalid("the environment", problems);
  for (const [source, { envInclude, envExclude }] of [
    ["the command line", flags],
    ["the environment", variables],
  ] as const)
    if (envInclude !== undefined && envExclude !== undefined)
      throw configInvalid(source, ["variables to include or to exclude, not both"]);
  const overrides = over(variablesAside(flags, variables), variables);
  const path = overrides.configFile ?? DEFAULT_FILES.find((name) => isFile(join(directory, name)));
  if (path === undefined && isFileWanted) throw configNotFound(DEFAULT_FILES.join(", "));
  const { file, ignored } =
    path === undefined ? { file: {}, ignored: [] } : readConfigFile(directory, path);
  return resolve(file, overrides, ignored, newKey);
}

/** A list of the environment overrides its counterpart on the command line too. */
const variablesAside = (flags: Overrides, variables: Overrides): Overrides => ({
  ...flags,
  ...(variables.envInclude === undefined ? {} : { envExclude: undefined }),
  ...(variables.envExclude === undefined ? {} : { envInclude: undefined }),
});

function readConfigFile(
  directory: string,
  path: string,
): { file: FileConfig; ignored: readonly IgnoredKey[] } {
  if (!/\.(jsonc?|ya?ml|toml)$/i.test(path)) throw configOfUnknownKind(path);
  const parsed = parseConfig(path, readText(directory, path));
  if (parsed.kind === "errors") throw configInvalid(path, parsed.errors);
  // An empty YAML file is null, an empty JSON file an error.
  const { tree, refused, ignored } = sortOut(parsed.tree ?? {}, fileSchema);
  if (!isObject(tree)) throw configInvalid(path, ["the whole file must be an object"]);
  const checked = fileSchema.safeParse(tree);
  const problems = [
    ...refused,
    ...(checked.success ? [] : problemsOf(checked.error.issues, tree, fileSchema)),
  ];
  if (!checked.success || problems.length > 0) throw configInvalid(path, problems);
  return { file: checked.data, ignored };
}

function readText(directory: string, path: string): string {
  const file = path.startsWith("/") ? path : join(directory, path);
  try {
    if (statSync(file).size > MAX_FILE) throw new Error(`it is longer than ${MAX_FILE} bytes`);
    return readFileSync(file, "utf8");
  } catch (cause) {
    throw configNotReadable(path, cause);
  }
}

const isFile = (path: string): boolean =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

/** A syntax error begins with its file and line already. */
function configInvalid(source: string, problems: readonly string[]): UserError {
  const [first = ""] = problems;
  const alone = first.startsWith(`${source}:`) ? first : `${source}: ${first}`;
  const all = problems.map((problem) => `  - ${problem}`).join("\n");
  return new UserError(
    "CONFIG_INVALID",
    problems.length === 1 ? alone : `${problems.length} problems in ${source}\n${all}`,
  );
}

const configNotFound = (looked: string): UserError =>
  new UserError("CONFIG_NOT_FOUND", "no configuration file in its usual places", {
    hints: [`looked for ${looked}`, "name it: --config-file FILE"],
  });

const configNotReadable = (path: string, cause: unknown): UserError =>
  new UserError("CONFIG_NOT_FOUND", `cannot read the configuration file ${path}`, { cause });

const configOfUnknownKind = (path: string): UserError =>
  new UserError("CONFIG_INVALID", `cannot tell the language of ${path} by its name`, {
    hints: ["end its name in .json, .yaml, .yml or .toml"],
  });
