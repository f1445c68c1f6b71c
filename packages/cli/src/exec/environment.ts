/** The variables that the command gets: the developer's, with the target's over them. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import type { Reporter } from "@inpod/layer";
import type { ByteString, TargetDescription } from "@inpod/protocol";
import { UserError } from "@inpod/protocol";
import {
  applyEnvironment,
  ConfigValueError,
  chooseEnvironment,
  credentialVariables,
  type Environment,
} from "@inpod/session";
import type { ResolvedConfig } from "../config/resolve.ts";
import type { Io } from "../io.ts";

const MAX_ENV_FILE = 1024 * 1024;

export interface ProgramEnvironment {
  /** Secret: never logged. Names and values as they are, byte for byte: what is not UTF-8 arrives unchanged. */
  readonly variables: Readonly<Record<ByteString, ByteString>>;
  /** Of the target and the configuration: what they set, why, and what did not come. */
  readonly chosen: Environment;
  /** Variables of the developer's that his program does not get because they say who he is. */
  readonly hidden: readonly ByteString[];
  /** Those that he has himself: what is not among `variables` was taken away. */
  readonly ownNames: readonly ByteString[];
}

/**
 * @param spec what the target's spec sets: below what its main process has
 * @throws UserError for an env_file that cannot be read and values that cannot be variables
 */
export function programEnvironment(
  { env, localCredentials }: Pick<ResolvedConfig, "env" | "localCredentials">,
  target: Pick<TargetDescription, "environment">,
  io: Pick<Io, "env" | "directory">,
  spec: Readonly<Record<string, string>> = {},
): ProgramEnvironment {
  try {
    const chosen = chooseEnvironment(
      env === false
        ? { isEnabled: false, mapping: [], override: [], unset: [] }
        : {
            isEnabled: true,
            // The two exclude each other; "*" is what neither of them says.
            ...(env.exclude.length > 0 ? { exclude: env.exclude } : { include: env.include }),
            mapping: env.mapping.map(([name, value]) => [name, toBytes(value)] as const),
            override: Object.entries(env.override).map(([name, value]) => [name, toBytes(value)]),
            unset: env.unset,
            ...(env.envFile === undefined ? {} : { envFile: readEnvFile(env.envFile, io) }),
          },
      overlaid(spec, target.environment),
    );
    const own = ownEnvironment(io.env);
    const ownNames = Object.keys(own);
    const hidden = credentialVariables(ownNames, localCredentials).filter(
      (name) => !chosen.set.has(name),
    );
    return { variables: applyEnvironment(chosen, own, hidden), chosen, hidden, ownNames };
  } catch (error) {
    throw error instanceof ConfigValueError ? configInvalid(error) : error;
  }
}

/** What the configuration says by itself is good or not before anything is made for it. @throws UserError as above */
export function checkEnvironment(
  config: Parameters<typeof programEnvironment>[0],
  io: Pick<Io, "env" | "directory">,
): void {
  programEnvironment(config, { environment: [] }, io);
}

/** What was decided, for --verbose, and what the user should know. */
export function reportEnvironment(
  { chosen, hidden }: Pick<ProgramEnvironment, "chosen" | "hidden">,
  reporter: Reporter,
): void {
  const decided = (subject: string, verdict: string, why: string, key: string): void =>
    reporter.decision({ call: "env", subject, verdict, why, key });
  for (const { name, why, key } of chosen.skipped) decided(name, "local", why, key);
  for (const name of hidden) decided(name, "hidden", WHO_YOU_ARE, "feature.local_credentials");
  for (const text of chosen.notices) reporter.notice({ key: text, text });
}

const WHO_YOU_ARE = "it says who you are; the program is the pod";

/** The main process may have begun without a variable that its container has: `env -i` before it, a shell's own. */
function overlaid(
  spec: Readonly<Record<string, string>>,
  environment: TargetDescription["environment"],
): TargetDescription["environment"] {
  const has = new Set(environment.map(([name]) => name));
  const rest = Object.entries(spec)
    .map(([name, value]) => [toBytes(name), toBytes(value)] as const)
    .filter(([name]) => !has.has(name));
  return [...rest, ...environment];
}

export const toBytes = (text: string): ByteString => Buffer.from(text, "utf8").toString("latin1");
export const toText = (bytes: ByteString): string => Buffer.from(bytes, "latin1").toString("utf8");

/** Node replaces bytes that are not UTF-8 by U+FFFD: those variables are taken from where the kernel has them. */
function ownEnvironment(env: NodeJS.ProcessEnv): Record<ByteString, ByteString> {
  const own: Record<ByteString, ByteString> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && !`${name}${value}`.includes("\ufffd"))
      own[toBytes(name)] = toBytes(value);
  }
  if (env !== process.env || process.platform !== "linux") return own;
  for (const entry of readFileSync("/proc/self/environ", "latin1").split("\0")) {
    const at = entry.indexOf("=");
    if (at > 0 && toText(entry).includes("\ufffd")) own[entry.slice(0, at)] ??= entry.slice(at + 1);
  }
  return own;
}

function readEnvFile(name: string, io: Pick<Io, "directory">): ByteString {
  const path = resolve(io.directory, name);
  try {
    const content = readFileSync(path, "latin1");
    if (content.length <= MAX_ENV_FILE) return content;
    throw new Error("it is larger than 1 MiB");
  } catch (cause) {
    throw new UserError("CONFIG_ENV_FILE", `the env file ${path} cannot be read`, {
      cause,
      hints: ["check feature.env.env_file or --env-file"],
    });
  }
}

const configInvalid = (error: ConfigValueError): UserError =>
  new UserError("CONFIG_INVALID", error.message, { hints: [] });
