/** File, flags and variables → what a session is told, everything defaulted. Pure. */
import { homedir } from "node:os";
import type { LayerConfig } from "@inpod/layer";
import { CREDENTIAL_KINDS, type CredentialKind, parseHttpFilter } from "@inpod/session";
import { type AgentConfig, agentConfig } from "./agent-config.ts";
import { defined } from "./defined.ts";
import type { Overrides } from "./overrides.ts";
import type { OwnConfig } from "./own-config.ts";
import type { FileConfig } from "./schema.ts";
import type { IgnoredKey } from "./sort-out.ts";
import { targetOf } from "./target-keys.ts";
import { deliveryOf, type TlsConfig } from "./tls.ts";

export interface ResolvedConfig {
  /** "pod/NAME/container/C" and the like; "@inpod/targets/path" judges and reads it. */
  readonly target?: string;
  readonly namespace?: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  /** Names with `*` and `?` of contexts that are asked about before anything is taken from a pod. */
  readonly protectedContexts: readonly string[];
  readonly acceptInvalidCertificates: boolean;
  /** Whether HTTPS_PROXY and its like are followed on the way to the API server. */
  readonly useProxy: boolean;
  /** A label's value by which people know the session; made up when nobody says it. */
  readonly key: string;
  /** What becomes of the program when its session is lost for good. */
  readonly onDisconnect: "stop" | "continue";
  readonly agent: AgentConfig;
  /** false: the pod's environment stays away. Applied in this order: file, mapping, override, unset. */
  readonly env: false | EnvironmentConfig;
  /** Of the developer's, what the program may use all the same. */
  readonly localCredentials: readonly CredentialKind[];
  readonly layer: LayerConfig;
  /** Whether the program gets the pod's probes on ports that it takes. */
  readonly probes: boolean;
  /** From how many pods of a workload incoming traffic comes; Infinity: all. */
  readonly replicas: number;
  readonly tls: TlsConfig;
  /** Whether it is looked if what is sent to a Service arrives. */
  readonly canary: boolean;
  /** Accepted without effect, to be told under --verbose. */
  readonly ignoredKeys: readonly IgnoredKey[];
}

export interface EnvironmentConfig {
  /** With the wildcards `*` and `?`. */
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly override: Readonly<Record<string, string>>;
  readonly mapping: readonly (readonly [regex: string, value: string])[];
  readonly unset: readonly string[];
  readonly envFile?: string;
}

export function resolve(
  file: FileConfig,
  own: OwnConfig,
  overrides: Overrides,
  ignoredKeys: readonly IgnoredKey[],
  keyOf: (written?: string) => string,
  replicas = DEFAULT_REPLICAS,
): ResolvedConfig {
  const target = targetOf(file.target);
  return {
    ...defined({
      target: overrides.target ?? target.path,
      namespace: overrides.namespace ?? target.namespace,
      kubeconfig: fromHome(overrides.kubeconfig ?? file.kubeconfig ?? own.kubeconfig),
      context: overrides.context ?? file.kube_context ?? own.kube_context,
    }),
    protectedContexts: own.protected_contexts ?? [],
    acceptInvalidCertificates:
      overrides.acceptInvalidCertificates ?? file.accept_invalid_certificates ?? false,
    useProxy: file.use_proxy ?? true,
    key: keyOf(file.key),
    onDisconnect: file.on_disconnect ?? "stop",
    agent: agentConfig(
      { image: own.agent?.image, ...file.agent },
      file.startup_retry ?? {},
      overrides,
    ),
    env: environmentOf(file.feature?.env ?? true, overrides),
    localCredentials: localCredentialsOf(file.feature),
    layer: {
      files: {
        ...filesOf(file.feature?.fs ?? true, overrides),
        autoMount: file.feature?.magic?.auto_mount ?? true,
      },
      outgoing: outgoingOf(networkOf(file).outgoing, overrides),
      incoming: incomingOf(networkOf(file).incoming, overrides),
      dns: overrides.dns ?? dnsOf(networkOf(file).dns),
      ...defined({ dnsFilter: dnsFilterOf(networkOf(file).dns) }),
      ipv6: networkOf(file).ipv6 ?? true,
      hostname: file.feature?.hostname ?? true,
      skipBuildTools: file.skip_build_tools ?? true,
      skipExtraBuildTools: file.skip_extra_build_tools ?? [],
      skipProcesses: overrides.skipProcesses ?? file.skip_processes ?? [],
    },
    probes: ownIncoming(networkOf(file).incoming).probes ?? false,
    replicas: replicasOf(networkOf(file).incoming, overrides, replicas),
    tls: tlsOf(networkOf(file).incoming),
    canary: overrides.canary ?? ownIncoming(networkOf(file).incoming).canary ?? true,
    ignoredKeys: ignoredKeys,
  };
}

type Feature = NonNullable<FileConfig["feature"]>;
type Network = Exclude<NonNullable<Feature["network"]>, boolean>;

function networkOf({ feature }: FileConfig): Network {
  const network = feature?.network ?? true;
  if (network === true) return {};
  if (network === false) return { incoming: false, outgoing: false, dns: false };
  return network;
}

function environmentOf(
  env: NonNullable<Feature["env"]>,
  { envInclude, envExclude, envFile }: Overrides,
): ResolvedConfig["env"] {
  const isAsked = envInclude !== undefined || envExclude !== undefined || envFile !== undefined;
  if (env === false && !isAsked) return false;
  const said = typeof env === "boolean" ? {} : env;
  // The two exclude each other: one that overrides the file overrides its counterpart as well.
  const include = envInclude ?? (envExclude === undefined ? said.include : undefined);
  const exclude = envExclude ?? (envInclude === undefined ? said.exclude : undefined);
  return {
    include: include ?? ["*"],
    exclude: exclude ?? [],
    override: said.override ?? {},
    mapping: Object.entries(said.mapping ?? {}),
    unset: said.unset ?? [],
    ...defined({ envFile: envFile ?? said.env_file }),
  };
}

function localCredentialsOf(feature: FileConfig["feature"]): readonly CredentialKind[] {
  const said = feature?.local_credentials ?? false;
  const kinds = typeof said === "boolean" ? (said ? CREDENTIAL_KINDS : []) : said;
  const keepsAws = feature?.magic?.aws === false;
  return CREDENTIAL_KINDS.filter((kind) => kinds.includes(kind) || (kind === "aws" && keepsAws));
}

function filesOf(
  fs: NonNullable<Feature["fs"]>,
  overrides: Overrides,
): Omit<LayerConfig["files"], "autoMount"> {
  const said =
    typeof fs === "string"
      ? { mode: fs }
      : fs === true
        ? {}
        : fs === false
          ? { mode: "local" as const }
          : fs;
  const { read_only, read_write, local, not_found, mapping, fallback } = said as Exclude<
    typeof fs,
    boolean | string
  >;
  return {
    mode: overrides.fsMode ?? said.mode ?? "read",
    readWrite: read_write ?? [],
    readOnly: read_only ?? [],
    local: local ?? [],
    notFound: not_found ?? [],
    mapping: Object.entries(mapping ?? {}),
    fallback: fallback ?? true,
  };
}

function outgoingOf(
  outgoing: Network["outgoing"] = true,
  { tcpOutgoing, udpOutgoing }: Overrides,
): LayerConfig["outgoing"] {
  const said = typeof outgoing === "boolean" ? { tcp: outgoing, udp: outgoing } : outgoing;
  const { ignore_localhost, filter, unix_streams } = said as Exclude<typeof outgoing, boolean>;
  return {
    tcp: tcpOutgoing ?? said.tcp ?? true,
    udp: udpOutgoing ?? said.udp ?? true,
    ignoreLocalhost: ignore_localhost ?? false,
    ...defined({ filter: filter && defined(filter), unixStreams: unix_streams }),
  };
}

function incomingOf(
  incoming: Network["incoming"] = true,
  { steal }: Overrides,
): LayerConfig["incoming"] {
  const said = typeof incoming === "object" ? incoming : { mode: incoming };
  const {
    ports,
    ignore_ports,
    ignore_localhost,
    port_mapping,
    listen_ports,
    http_filter,
    on_concurrent_steal = "abort",
  } = said as Exclude<typeof incoming, boolean | string>;
  const mode =
    steal === true
      ? "steal"
      : said.mode === true
        ? "mirror"
        : said.mode === false
          ? "off"
          : (said.mode ?? "mirror");
  return {
    mode,
    ports,
    ignorePorts: ignore_ports ?? [],
    ignoreLocalhost: ignore_localhost ?? false,
    portMapping: new Map(port_mapping ?? []),
    listenPorts: new Map(listen_ports ?? []),
    onConcurrentSteal: on_concurrent_steal,
    ...httpFilterOf(http_filter),
  };
}

/** What of it is not the layer's. */
const ownIncoming = (
  incoming: Network["incoming"],
): { readonly probes?: boolean | undefined; readonly canary?: boolean | undefined } =>
  typeof incoming === "object" ? incoming : {};
/** More agents than that are rather not started unless somebody says so. */
const DEFAULT_REPLICAS = 5;

function replicasOf(
  incoming: Network["incoming"] = true,
  { replicas }: Overrides,
  unsaid: number,
): number {
  const said = replicas ?? (typeof incoming === "object" ? incoming.replicas : undefined);
  return said === "all" ? Number.POSITIVE_INFINITY : (said ?? unsaid);
}

function tlsOf(incoming: Network["incoming"]): TlsConfig {
  const said = typeof incoming === "object" ? incoming : {};
  return {
    certificates: said.tls ?? [],
    delivery: deliveryOf(said.tls_delivery ?? said.https_delivery),
  };
}

/** It has been looked at by the schema. */
function httpFilterOf(
  said: Readonly<Record<string, unknown>> | undefined,
): Pick<LayerConfig["incoming"], "httpFilter"> {
  const spec = said && parseHttpFilter(said);
  return spec && said ? { httpFilter: { ...spec, said } } : {};
}

const dnsOf = (dns: Network["dns"] = true): boolean =>
  typeof dns === "boolean" ? dns : (dns.enabled ?? true);

const dnsFilterOf = (dns: Network["dns"] = true): LayerConfig["dnsFilter"] => {
  const filter = typeof dns === "boolean" ? undefined : dns.filter;
  return filter && defined({ remote: filter.remote, local: filter.local });
};

const fromHome = (path: string | undefined): string | undefined =>
  path?.replace(/^~(?=\/|$)/, () => homedir());
