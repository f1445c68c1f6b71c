/** What flags and variables say. Both override the file; variables override flags, as mirrord has it. */

import type * as z from "zod";
import type { RelayMode } from "./agent-config.ts";
import { type LogLevel, logLevel } from "./agent-keys.ts";
import { dnsLabel, sessionKey } from "./kubernetes-values.ts";
import { replicas } from "./network-keys.ts";

/** undefined: not said. Keys are those of `configuration` below. */
export interface Overrides {
  readonly configFile?: string | undefined;
  readonly target?: string | undefined;
  readonly namespace?: string | undefined;
  readonly context?: string | undefined;
  readonly kubeconfig?: string | undefined;
  readonly agentImage?: string | undefined;
  readonly agentStartupTimeoutS?: number | undefined;
  readonly agentNamespace?: string | undefined;
  readonly agentLogLevel?: LogLevel | undefined;
  readonly agentTtlS?: number | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly relayPod?: RelayMode | undefined;
  readonly key?: string | undefined;
  readonly allowHostNetwork?: boolean | undefined;
  readonly fsMode?: FsMode | undefined;
  readonly envExclude?: readonly string[] | undefined;
  readonly envInclude?: readonly string[] | undefined;
  readonly envFile?: string | undefined;
  readonly skipProcesses?: readonly string[] | undefined;
  readonly dns?: boolean | undefined;
  readonly steal?: boolean | undefined;
  readonly replicas?: number | "all" | undefined;
  readonly canary?: boolean | undefined;
  readonly tcpOutgoing?: boolean | undefined;
  readonly udpOutgoing?: boolean | undefined;
  readonly acceptInvalidCertificates?: boolean | undefined;
}
/** Of a command line, or of a service of inpod-up.yaml, which says more than flags can. */
export interface Flags extends Overrides {
  /** Keys of a project's configuration that go over those of its file; templates in it have been filled. */
  readonly patch?:
    | { readonly tree: Readonly<Record<string, unknown>>; readonly from: string }
    | undefined;
}
export type FsMode = "local" | "localwithoverrides" | "read" | "write";

type Read<Value> =
  | { readonly kind: "value"; readonly value: Value }
  | { readonly kind: "wrong"; readonly allowed: string };
type Reader<Value> = (text: string) => Read<Value>;

const ok = <Value>(value: Value): Read<Value> => ({ kind: "value", value });
const wrong = (allowed: string): Read<never> => ({ kind: "wrong", allowed });

const word: Reader<string> = (text) =>
  text === "" ? wrong("it is empty: is a variable of your shell not set?") : ok(text);
const listOf =
  (between: RegExp): Reader<readonly string[]> =>
  (text) =>
    ok(
      text
        .split(between)
        .map((name) => name.trim())
        .filter((name) => name !== ""),
    );
const list = listOf(/;/);
const variableList = listOf(/[;,]/);
const flag: Reader<boolean> = (text) =>
  /^(true|1)$/i.test(text)
    ? ok(true)
    : /^(false|0)$/i.test(text)
      ? ok(false)
      : wrong("true or false");
const seconds =
  (least: number): Reader<number> =>
  (text) =>
    /^\d{1,5}$/.test(text) && Number(text) >= least && Number(text) <= 86_400
      ? ok(Number(text))
      : wrong(`a whole number of seconds from ${least} to 86400`);
/** As the same key of a file is judged. */
const checked =
  <Value>(schema: z.ZodType<Value>): ((value: unknown) => Read<Value>) =>
  (text) => {
    const { success, data, error } = schema.safeParse(text);
    return success ? ok(data) : wrong(error.issues[0]?.message ?? "something else");
  };
const replicaCount: Reader<number | "all"> = (text) =>
  checked(replicas)(/^\d{1,5}$/.test(text) ? Number(text) : text.toLowerCase());
/** The flag's spelling and the file's are both known. */
const fsMode: Reader<FsMode> = (text) => {
  const mode = text.toLowerCase().replaceAll("-", "");
  if (mode === "local" || mode === "localwithoverrides" || mode === "read" || mode === "write")
    return ok(mode);
  return wrong("read, write, local, local-with-overrides");
};

const relayMode: Reader<RelayMode> = (text) => {
  const mode = text.toLowerCase();
  if (mode === "auto" || mode === "always" || mode === "never") return ok(mode);
  return wrong("auto, always, never");
};

/** By the last part of the variable's name: INPOD_… and MIRRORD_…. */
const VARIABLES: {
  readonly [Key in keyof Overrides]-?: readonly [
    name: string,
    Reader<NonNullable<Overrides[Key]>>,
    key: string | undefined,
  ];
} = {
  configFile: ["CONFIG_FILE", word, undefined],
  target: ["IMPERSONATED_TARGET", word, "target.path"],
  namespace: ["TARGET_NAMESPACE", word, "target.namespace"],
  context: ["KUBE_CONTEXT", word, "kube_context"],
  kubeconfig: ["KUBECONFIG", word, "kubeconfig"],
  agentImage: ["AGENT_IMAGE", word, "agent.image"],
  agentStartupTimeoutS: ["AGENT_STARTUP_TIMEOUT", seconds(1), "agent.startup_timeout"],
  agentNamespace: ["AGENT_NAMESPACE", checked(dnsLabel), "agent.namespace"],
  agentLogLevel: ["AGENT_RUST_LOG", checked(logLevel), "agent.log_level"],
  agentTtlS: ["AGENT_TTL", seconds(0), "agent.ttl"],
  ephemeral: ["EPHEMERAL_CONTAINER", flag, "agent.ephemeral"],
  relayPod: ["RELAY_POD", relayMode, "agent.relay_pod.mode"],
  key: ["KEY", checked(sessionKey), "key"],
  allowHostNetwork: ["ALLOW_HOST_NETWORK", flag, "agent.allow_host_network"],
  fsMode: ["FILE_MODE", fsMode, "feature.fs.mode"],
  envExclude: ["OVERRIDE_ENV_VARS_EXCLUDE", variableList, "feature.env.exclude"],
  envInclude: ["OVERRIDE_ENV_VARS_INCLUDE", variableList, "feature.env.include"],
  envFile: ["OVERRIDE_ENV_VARS_FILE", word, "feature.env.env_file"],
  skipProcesses: ["SKIP_PROCESSES", list, "skip_processes"],
  dns: ["REMOTE_DNS", flag, "feature.network.dns.enabled"],
  steal: ["AGENT_TCP_STEAL_TRAFFIC", flag, "feature.network.incoming.mode"],
  replicas: ["REPLICAS", replicaCount, "feature.network.incoming.replicas"],
  canary: ["CANARY", flag, "feature.network.incoming.canary"],
  tcpOutgoing: ["TCP_OUTGOING", flag, "feature.network.outgoing.tcp"],
  udpOutgoing: ["UDP_OUTGOING", flag, "feature.network.outgoing.udp"],
  acceptInvalidCertificates: ["ACCEPT_INVALID_CERTIFICATES", flag, "accept_invalid_certificates"],
};

/** The key of the file that each overrides; `configFile` overrides none. */
export const KEY_OF_OVERRIDE = Object.fromEntries(
  Object.entries(VARIABLES).flatMap(([name, [, , key]]) =>
    key === undefined ? [] : [[name, key]],
  ),
) as Readonly<Record<Exclude<keyof Overrides, "configFile">, string>>;

/** For documentation: the ends of the variables' names, and what they override. */
export const variableSuffixes = (): { suffix: string; key: string | undefined }[] =>
  Object.values(VARIABLES).map(([suffix, , key]) => ({ suffix, key }));

/** An empty variable is one that is not set. */
export function overridesOfEnvironment(env: NodeJS.ProcessEnv): {
  readonly overrides: Overrides;
  /** Which variable said it. */
  readonly names: Readonly<Partial<Record<keyof Overrides, string>>>;
  readonly problems: readonly string[];
} {
  const problems: string[] = [];
  const names: Record<string, string> = {};
  const overrides: Record<string, unknown> = {};
  for (const [key, [suffix, read]] of Object.entries(VARIABLES)) {
    const name = [`INPOD_${suffix}`, `MIRRORD_${suffix}`].find((each) => env[each]);
    if (name === undefined) continue;
    const result = read(env[name] ?? "");
    if (result.kind === "value") {
      overrides[key] = result.value;
      names[key] = name;
    } else problems.push(`variable ${name}; allowed: ${result.allowed}`);
  }
  return { overrides, names, problems };
}

/** For a flag's text; the same readers as for the variables, so that both allow the same. */
export const readOverride = <Key extends keyof Overrides>(
  key: Key,
  text: string,
): Read<NonNullable<Overrides[Key]>> =>
  VARIABLES[key][1](text) as Read<NonNullable<Overrides[Key]>>;

/** The second wins where it says something. */
export const over = (first: Overrides, second: Overrides): Overrides => ({
  ...first,
  ...Object.fromEntries(Object.entries(second).filter(([, value]) => value !== undefined)),
});
