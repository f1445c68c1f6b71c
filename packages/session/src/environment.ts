/**
 * Which of the target's variables the user's process gets.
 *
 * Order: the target's variables, less the excluded ▸ env_file ▸ mapping ▸ override ▸ unset. The
 * result is laid over the developer's own environment.
 */
import { type ByteString, matchesWildcard } from "@inpod/protocol";
import { ConfigValueError } from "./config-value-error.ts";
import { parseEnvFile } from "./env-file.ts";
import { compileUserRegex } from "./user-regex.ts";

export interface EnvironmentConfig {
  /** feature.env: `false` fetches nothing; env_file, override and unset still count. */
  readonly isEnabled: boolean;
  /** Wildcards (`*`, `?`). What they name comes although it is excluded by default. Never with `exclude`. */
  readonly include?: readonly string[];
  readonly exclude?: readonly string[];
  /** Expression for names (unanchored, with case) and the value that those get. */
  readonly mapping: readonly (readonly [source: string, value: ByteString])[];
  readonly override: readonly (readonly [name: string, value: ByteString])[];
  /** Names, compared without their case (as in mirrord). Wildcards are not special. */
  readonly unset: readonly string[];
  /** Content of env_file, read by the caller. */
  readonly envFile?: ByteString;
}

/** Who has given a variable its value. */
export type EnvironmentOrigin = "pod" | "env_file" | "mapping" | "override";

export interface Environment {
  /** Secret: never logged. */
  readonly set: ReadonlyMap<string, ByteString>;
  /** Of each of `set`. */
  readonly origins: ReadonlyMap<string, EnvironmentOrigin>;
  /** Variables of the developer's that the process must not get, in any case of their letters. */
  readonly unset: readonly string[];
  /** Variables of the target that did not come, for `--verbose`. */
  readonly skipped: readonly {
    readonly name: string;
    readonly why: string;
    /** Of the configuration: it has decided, or changes it. */
    readonly key: string;
  }[];
  /** For the terminal: what the user probably did not expect. */
  readonly notices: readonly string[];
}

/** Variables of a target, and bytes of one name. The kernel's own limit (ARG_MAX) is near. */
const MAX_VARIABLES = 16_384;
const MAX_NAME = 1024;

/** mirrord's list: where things lie in the pod's image, which is not here. */
export const EXCLUDED_BY_MIRRORD: readonly string[] = [
  // Bundler keeps here what it changed itself.
  "BUNDLER_ORIG_*",
  ...["BUNDLER_VERSION", "BUNDLE_APP_CONFIG", "BUNDLE_BIN_PATH", "BUNDLE_FORCE_RUBY_PLATFORM"],
  ...["BUNDLE_GEMFILE", "BUNDLE_GEM_PATH", "BUNDLE_PATH", "BUNDLE_WITHOUT"],
  ...["CATALINA_HOME", "CLASSPATH", "DOTNET_EnableDiagnostics", "DOTNET_STARTUP_HOOKS"],
  ...["GEM_HOME", "GEM_PATH", "GOPATH", "GOMODCACHE", "HOME", "HOMEPATH", "JAVA_EXE"],
  ...["JAVA_HOME", "JAVA_TOOL_OPTIONS", "PATH", "PWD", "PYTHONPATH", "RUBYLIB", "RUBYOPT"],
  ...["MIRRORD_LOG", "RUST_LOG", "_JAVA_OPTIONS"],
];

/**
 * inpod's: what would break the tree of tools around the program, or is about the developer's desk.
 *
 * The pod's proxies (http_proxy and the like, in both spellings) are not among them: outgoing
 * connections leave from the pod, where they are right. Who has a package manager in the tree
 * that needs the developer's proxy keeps them out by feature.env.exclude.
 */
export const EXCLUDED_BY_INPOD: readonly string[] = [
  ...["LD_*", "DYLD_*", "NODE_OPTIONS", "NODE_PATH", "PYTHONHOME", "VIRTUAL_ENV"],
  ...["GOROOT", "GOFLAGS", "JDK_JAVA_OPTIONS", "TMPDIR", "XDG_*", "INPOD_*"],
  ...["SHELL", "USER", "LOGNAME", "TERM", "LANG", "SSH_AUTH_SOCK", "DISPLAY"],
  // The shell's own account of where it is.
  ...["OLDPWD", "SHLVL", "_"],
  // What shells, interpreters and git run because a variable says so: the pod's words would run on this machine.
  ...[
    "BASH_ENV",
    "BASH_FUNC_*",
    "BASHOPTS",
    "SHELLOPTS",
    "PROMPT_COMMAND",
    "PS1",
    "PS4",
    "ZDOTDIR",
  ],
  ...["PERL5DB", "PERL5LIB", "PERL5OPT", "PYTHONSTARTUP", "GCONV_PATH", "CORECLR_ENABLE_PROFILING"],
  ...["EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE"],
  ...["GIT_ASKPASS", "GIT_CONFIG*", "GIT_DIR", "GIT_EDITOR", "GIT_EXEC_PATH", "GIT_EXTERNAL_DIFF"],
  ...["GIT_INDEX_FILE", "GIT_PAGER", "GIT_PROXY_COMMAND", "GIT_SEQUENCE_EDITOR", "GIT_SSH"],
  ...["GIT_SSH_COMMAND", "GIT_TEMPLATE_DIR", "GIT_WORK_TREE", "SSH_ASKPASS", "SUDO_ASKPASS"],
];

/** Options by which images bring profilers and tracers along: missing, they are missed silently. */
const REPORTED = new Set([
  "NODE_OPTIONS",
  "JAVA_TOOL_OPTIONS",
  "JDK_JAVA_OPTIONS",
  "_JAVA_OPTIONS",
  "CORECLR_ENABLE_PROFILING",
]);

/**
 * @param target the target's variables; of one name that comes twice the first counts, as getenv(3) has it
 * @throws ConfigValueError, without any value in it
 */
export function chooseEnvironment(
  config: EnvironmentConfig,
  target: readonly (readonly [name: ByteString, value: ByteString])[],
): Environment {
  if (config.include !== undefined && config.exclude !== undefined) {
    throw new ConfigValueError("feature.env", 'give either "include" or "exclude", not both');
  }
  const { set, skipped } = select(config, target);
  const origins = new Map<string, EnvironmentOrigin>();
  for (const name of set.keys()) origins.set(name, "pod");
  for (const [name, value] of config.envFile === undefined ? [] : parseEnvFile(config.envFile)) {
    set.set(name, value);
    origins.set(name, "env_file");
  }
  for (const [source, value] of config.mapping) {
    checkValue(value, `feature.env.mapping[${JSON.stringify(source)}]`);
  }
  applyMapping(set, origins, config.mapping);
  for (const [name, value] of config.override) {
    const key = `feature.env.override.${name}`;
    checkName(name, key);
    checkValue(value, key);
    set.set(textToBytes(name), value);
    origins.set(textToBytes(name), "override");
  }
  const unset = config.unset.map((name, index) => {
    checkName(name, `feature.env.unset[${index}]`);
    return textToBytes(name);
  });
  for (const name of unset) {
    for (const present of [...set.keys()].filter((each) => isSameName(each, name))) {
      set.delete(present);
      origins.delete(present);
    }
  }
  const notices = skipped
    .filter(({ name }) => REPORTED.has(name) && !set.has(name))
    .map(
      ({ name }) =>
        `the pod's ${name} was not applied: it may name files of its image. To apply it: feature.env.include, or feature.env.override`,
    );
  return { set, origins, unset, skipped, notices };
}

/**
 * @param own the developer's environment, as ByteStrings
 * @param hidden of it, what the process must not get either; what the target sets under these names it gets
 * @returns what the user's process is started with
 */
export function applyEnvironment(
  { set, unset }: Environment,
  own: Readonly<Record<string, ByteString | undefined>>,
  hidden: readonly string[] = [],
): Record<string, ByteString> {
  const merged: Record<string, ByteString> = Object.create(null);
  const isGone = (name: string): boolean =>
    hidden.includes(name) || unset.some((gone) => isSameName(gone, name));
  for (const [name, value] of Object.entries(own)) {
    if (value !== undefined && !isGone(name)) merged[name] = value;
  }
  for (const [name, value] of set) merged[name] = value;
  return { ...merged };
}

function select(
  config: EnvironmentConfig,
  target: readonly (readonly [name: ByteString, value: ByteString])[],
): { set: Map<string, ByteString>; skipped: Environment["skipped"] } {
  const set = new Map<string, ByteString>();
  const skipped: { name: string; why: string; key: string }[] = [];
  const include = wildcards(config.include);
  // "*" is the default written out: it brings back nothing that is excluded.
  const namedIncludes = wildcards(config.include?.filter((pattern) => !/^\**$/.test(pattern)));
  const exclude = wildcards(config.exclude);
  const byDefault = wildcards([...EXCLUDED_BY_MIRRORD, ...EXCLUDED_BY_INPOD]);

  const reason = (name: ByteString): { why: string; key: string } | undefined => {
    if (!config.isEnabled) return { why: "feature.env is off", key: "feature.env" };
    if (config.include !== undefined && !include(name))
      return { why: "feature.env.include does not name it", key: "feature.env.include" };
    if (exclude(name)) return { why: "feature.env.exclude", key: "feature.env.exclude" };
    if (byDefault(name) && !namedIncludes(name))
      return { why: "excluded by default", key: "feature.env.include" };
    return undefined;
  };
  const seen = new Set<ByteString>();
  for (const [name, value] of target.slice(0, MAX_VARIABLES)) {
    if (!isName(name) || value.includes("\0")) continue;
    if (seen.has(name)) continue;
    seen.add(name);
    const why = reason(name);
    if (why === undefined) set.set(name, value);
    else skipped.push({ name, ...why });
  }
  return { set, skipped };
}

/** The first expression that finds something in a name gives the value. */
function applyMapping(
  set: Map<string, ByteString>,
  origins: Map<string, EnvironmentOrigin>,
  mapping: EnvironmentConfig["mapping"],
): void {
  const compiled = mapping.map(([source, value]) => {
    const key = `feature.env.mapping[${JSON.stringify(source)}]`;
    return { regex: compileUserRegex(source, key, { ignoreCase: false }), value };
  });
  for (const name of set.keys()) {
    const found = compiled.find(({ regex }) => regex.test(name));
    if (found === undefined) continue;
    set.set(name, found.value);
    origins.set(name, "mapping");
  }
}

/**
 * `*` any text, `?` one character; with case, the whole name. By hand and not by a regular
 * expression: `*a*a*a*a*b` would backtrack for ever.
 */
function wildcards(patterns: readonly string[] | undefined): (name: ByteString) => boolean {
  const bytes = (patterns ?? []).map((pattern) => textToBytes(pattern.trim()));
  return (name) => bytes.some((pattern) => matchesWildcard(pattern, name));
}

const isName = (name: string): boolean =>
  name !== "" && name.length <= MAX_NAME && !/[=\0]/.test(name);

function checkName(name: string, key: string): void {
  if (!isName(name)) throw new ConfigValueError(key, 'a name is not empty and has no "=" and NUL');
}

function checkValue(value: ByteString, key: string): void {
  if (value.includes("\0")) throw new ConfigValueError(key, "a value contains no NUL");
}

const isSameName = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

const textToBytes = (text: string): ByteString => Buffer.from(text, "utf8").toString("latin1");
