/** Finds, reads and checks the configuration, of all its sources. */
import { join } from "node:path";
import { UserError } from "@inpod/protocol";
import { gitBranch } from "./git-branch.ts";
import { newKey as randomKey } from "./key.ts";
import { type Flags, type Overrides, over, overridesOfEnvironment } from "./overrides.ts";
import { findOwnConfig, type OwnConfig, ownSchema } from "./own-config.ts";
import type { FileKind } from "./problems.ts";
import { ENDINGS, type FileContent, isFile, readConfigFile } from "./read-file.ts";
import { type ResolvedConfig, resolve } from "./resolve.ts";
import { type FileConfig, fileSchema } from "./schema.ts";
import type { Rendered } from "./template-values.ts";
import { isObject } from "./tree.ts";

/** In the working directory, the first that exists. */
const DEFAULT_FILES = [".inpod/inpod", ".mirrord/mirrord"].flatMap((name) =>
  ENDINGS.map((ending) => name + ending),
);

const PROJECT: FileKind<typeof fileSchema> = {
  schema: fileSchema,
  elsewhere: {
    schema: ownSchema,
    where: "your own configuration (~/.config/inpod/config.json), not a project's",
  },
};
const OWN: FileKind<typeof ownSchema> = {
  schema: ownSchema,
  elsewhere: {
    schema: fileSchema,
    where: "a project's configuration (.inpod/inpod.json), not your own",
  },
};

export interface Sources {
  readonly flags: Flags;
  readonly env: NodeJS.ProcessEnv;
  readonly directory: string;
  /** `-f` without a file: there must be one in its usual place. */
  readonly isFileWanted?: boolean;
  /** No file of the project's, wherever it is. */
  readonly isFileLeftOut?: boolean;
  /** Says what is wrong with a target, if anything is: then that is told with all the rest. */
  readonly targetProblem?: (target: string) => string | undefined;
  readonly newKey?: (() => string) | undefined;
  /** From how many pods traffic comes where nobody says it. */
  readonly replicas?: number;
}

/** @throws UserError CONFIG_* with every problem of all sources at once */
export const loadConfig = (sources: Sources): ResolvedConfig => loadSources(sources).config;

export interface LoadedConfig {
  readonly config: ResolvedConfig;
  /** Undefined: there is no file. */
  readonly path: string | undefined;
  /** Undefined: there is none. */
  readonly ownPath: string | undefined;
  /** What each source says: files by their keys, the others by the overrides they are. */
  readonly fileTree: unknown;
  readonly ownTree: unknown;
  readonly flags: Overrides;
  readonly variables: Overrides;
  readonly variableNames: Readonly<Partial<Record<keyof Overrides, string>>>;
}

export function loadSources({
  flags,
  env,
  directory,
  isFileWanted = false,
  isFileLeftOut = false,
  targetProblem = () => undefined,
  newKey = randomKey,
  replicas,
}: Sources): LoadedConfig {
  const variables = overridesOfEnvironment(env);
  const overrides = over(variablesAside(flags, variables.overrides), variables.overrides);
  const path = isFileLeftOut
    ? undefined
    : (overrides.configFile ?? DEFAULT_FILES.find((name) => isFile(join(directory, name))));
  if (path === undefined && isFileWanted) throw configNotFound(DEFAULT_FILES.join(", "));

  let branch: Rendered | undefined;
  let madeUp: string | undefined;
  const facts = {
    env,
    gitBranch: () => {
      branch ??= gitBranch(directory);
      return branch;
    },
  };
  const keyOf = (written?: string): string => {
    if (overrides.key ?? written) return (overrides.key ?? written) as string;
    madeUp ??= newKey();
    return madeUp;
  };
  const nothing = { value: {}, tree: {}, ignored: [], problems: [] };
  const file: FileContent<FileConfig> =
    path === undefined && flags.patch === undefined
      ? nothing
      : readConfigFile({ directory, path, patch: flags.patch?.tree }, PROJECT, facts, keyOf);
  const ownPath = findOwnConfig(env);
  const own: FileContent<OwnConfig> =
    ownPath === undefined
      ? nothing
      : readConfigFile({ directory, path: ownPath }, OWN, facts, () => keyOf(file.value?.key));

  throwIfInvalid([
    ["the environment", [...variables.problems, ...oneList(variables.overrides)]],
    ["the command line", oneList(flags)],
    [
      path ?? flags.patch?.from ?? "",
      [...file.problems, ...problemsOfTarget(file.tree, targetProblem)],
    ],
    [ownPath ?? "", own.problems],
  ]);
  return {
    config: resolve(
      file.value ?? {},
      own.value ?? {},
      overrides,
      [...file.ignored, ...own.ignored],
      keyOf,
      replicas,
    ),
    path,
    ownPath,
    fileTree: file.tree,
    ownTree: own.tree,
    flags: variablesAside(flags, variables.overrides),
    variables: variables.overrides,
    variableNames: variables.names,
  };
}

/** Of a file that may have other problems: what its target would be if it is a path. */
function problemsOfTarget(
  tree: unknown,
  targetProblem: (target: string) => string | undefined,
): string[] {
  const target = isObject(tree) ? tree.target : undefined;
  const path = isObject(target) ? target.path : target;
  const problem = typeof path === "string" ? targetProblem(path) : undefined;
  return problem === undefined ? [] : [problem];
}

/** A list of the environment overrides its counterpart on the command line too. */
const variablesAside = (flags: Overrides, variables: Overrides): Overrides => ({
  ...flags,
  ...(variables.envInclude === undefined ? {} : { envExclude: undefined }),
  ...(variables.envExclude === undefined ? {} : { envInclude: undefined }),
});

const oneList = ({ envInclude, envExclude }: Overrides): string[] =>
  envInclude !== undefined && envExclude !== undefined
    ? ["variables to include or to exclude, not both"]
    : [];

function throwIfInvalid(
  found: readonly (readonly [source: string, problems: readonly string[]])[],
) {
  const sources = found.filter(([, problems]) => problems.length > 0);
  const lines = sources.flatMap(([source, problems]) =>
    problems.map((problem) => ({ problem, full: withSource(source, problem) })),
  );
  const [first, ...others] = lines;
  if (first === undefined) return;
  if (others.length === 0) throw new UserError("CONFIG_INVALID", first.full);
  const isOne = sources.length === 1;
  throw new UserError(
    "CONFIG_INVALID",
    [
      `${lines.length} problems${isOne ? ` in ${sources[0]?.[0]}` : ""}`,
      ...lines.map(({ problem, full }) => `  - ${isOne ? problem : full}`),
    ].join("\n"),
  );
}

/** A syntax error begins with its file and line already. */
const withSource = (source: string, problem: string): string =>
  problem.startsWith(`${source}:`) ? problem : `${source}: ${problem}`;

const configNotFound = (looked: string): UserError =>
  new UserError("CONFIG_NOT_FOUND", "no configuration file in its usual places", {
    hints: [`looked for ${looked}`, "name it: --config-file FILE"],
  });
