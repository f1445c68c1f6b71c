/** What explanations are made from: the configuration as `exec` would use it, and what is known of a target. */
import type { LayerConfig } from "@inpod/layer";
import {
  compilePolicy,
  debuggerPorts,
  gatherFacts,
  type Policy,
  thisMachine,
} from "@inpod/layer/rules";
import type { TargetDescription } from "@inpod/protocol";
import type { ResolverConfig } from "@inpod/session";
import { checkCommand } from "../command.ts";
import type { LoadedConfig } from "../config/load.ts";
import { withCredentialFiles } from "../exec/credentials.ts";
import { programEnvironment, toText } from "../exec/environment.ts";
import type { Io } from "../io.ts";
import type { Current } from "./change.ts";
import { type Origin, originsOf } from "./origin.ts";

export interface GroundOptions {
  readonly loaded: LoadedConfig;
  readonly io: Io;
  /** The command that would be run; undefined: any. */
  readonly command: readonly string[] | undefined;
  /** Undefined: there is no target, and what depends on it is said to. */
  readonly target?: TargetFacts | undefined;
}

export interface TargetFacts {
  readonly name: string;
  readonly described: TargetDescription;
  readonly specEnvironment: Readonly<Record<string, string>> | undefined;
  readonly resolver: ResolverConfig;
  readonly volumeMounts: readonly string[];
  /** As the target's kind and rights make it. */
  readonly layer: (config: LayerConfig) => LayerConfig;
}

export interface Ground {
  readonly loaded: LoadedConfig;
  readonly io: Io;
  readonly layer: LayerConfig;
  readonly policy: Policy;
  readonly current: Current;
  readonly debuggerPorts: readonly number[];
  readonly target: TargetFacts | undefined;
  readonly origin: (key: string | undefined) => Origin | undefined;
  /** An address is known by this name from now on, as by a DNS answer. */
  learn(address: string, name: string): void;
}

/** @throws ConfigValueError */
export function ground({ loaded, io, command, target }: GroundOptions): Ground {
  const { config } = loaded;
  const names = new Map<string, string[]>();
  const { variables } = programEnvironment(
    config,
    target?.described ?? { environment: [] },
    io,
    target?.specEnvironment,
  );
  const env = Object.fromEntries(Object.entries(variables).map((entry) => entry.map(toText)));
  const home = env.HOME?.startsWith("/") ? env.HOME.replace(/\/+$/, "") : undefined;
  const own = withCredentialFiles(config.layer, config.localCredentials, home);
  const layer = target?.layer(own) ?? own;
  const executable = command?.[0] === undefined ? "" : executableOf(command[0], io);
  const origins = originsOf(loaded, io.directory);
  const policy = compilePolicy({
    config: layer,
    facts: {
      ...gatherFacts(thisMachine({ env, cwd: io.directory, executable })),
      volumeMounts: layer.files.autoMount ? (target?.volumeMounts ?? []) : [],
    },
    resolver: target?.resolver ?? { nameservers: [], searchDomains: [] },
    names: (address) => names.get(address) ?? [],
  });
  return {
    loaded,
    io,
    layer,
    policy,
    target,
    current: { layer, env: config.env, localCredentials: config.localCredentials },
    debuggerPorts: debuggerPorts(command ?? [], command === undefined ? {} : env),
    origin: (key) => (key === undefined ? undefined : origins(key)),
    learn: (address, name) => {
      names.set(address, [...(names.get(address) ?? []), name]);
    },
  };
}

/** A command that cannot be run may be explained all the same. */
function executableOf(name: string, { env, directory }: Io): string {
  try {
    return checkCommand(name, env.PATH, directory).executable;
  } catch {
    return "";
  }
}
