/** The value that counts for each key that works, and where it comes from. */
import type { LoadedConfig } from "./load.ts";
import type { Overrides } from "./overrides.ts";
import { KEY_OF_OVERRIDE } from "./overrides.ts";
import type { ResolvedConfig } from "./resolve.ts";
import { below, isObject } from "./tree.ts";

type Get = (config: ResolvedConfig) => unknown;

const envValue =
  (get: (env: Exclude<ResolvedConfig["env"], false>) => unknown): Get =>
  ({ env }) =>
    env === false ? undefined : get(env);
const object = (pairs: Iterable<readonly [string, unknown]>): unknown => Object.fromEntries(pairs);

export const VALUES: Readonly<Record<string, Get>> = {
  "target.path": ({ target }) => target,
  "target.namespace": ({ namespace }) => namespace,
  key: ({ key }) => key,
  kubeconfig: ({ kubeconfig }) => kubeconfig,
  kube_context: ({ context }) => context,
  protected_contexts: ({ protectedContexts }) => protectedContexts,
  accept_invalid_certificates: ({ acceptInvalidCertificates }) => acceptInvalidCertificates,
  use_proxy: ({ useProxy }) => useProxy,
  on_disconnect: ({ onDisconnect }) => onDisconnect,
  skip_processes: ({ layer }) => layer.skipProcesses,
  skip_build_tools: ({ layer }) => layer.skipBuildTools,
  skip_extra_build_tools: ({ layer }) => layer.skipExtraBuildTools,
  "startup_retry.min_ms": ({ agent }) => agent.startupRetry.minMs,
  "startup_retry.max_ms": ({ agent }) => agent.startupRetry.maxMs,
  "startup_retry.max_retries": ({ agent }) => agent.startupRetry.maxRetries,
  "agent.image": ({ agent }) => agent.image,
  "agent.image_pull_policy": ({ agent }) => agent.imagePullPolicy,
  "agent.image_pull_secrets": ({ agent }) => agent.imagePullSecrets,
  "agent.namespace": ({ agent }) => agent.namespace,
  "agent.ephemeral": ({ agent }) => agent.ephemeral,
  "agent.relay_pod.mode": ({ agent }) => agent.relayPod.mode,
  "agent.relay_pod.unattended": ({ agent }) => agent.relayPod.isUnattended,
  "agent.allow_host_network": ({ agent }) => agent.allowHostNetwork,
  "agent.privileged": ({ agent }) => agent.privileged,
  "agent.disabled_capabilities": ({ agent }) => agent.disabledCapabilities,
  "agent.tolerations": ({ agent }) => agent.tolerations,
  "agent.node_selector": ({ agent }) => agent.nodeSelector,
  "agent.resources.requests": ({ agent }) => agent.resources.requests,
  "agent.resources.limits": ({ agent }) => agent.resources.limits,
  "agent.labels": ({ agent }) => agent.labels,
  "agent.annotations": ({ agent }) => agent.annotations,
  "agent.service_account": ({ agent }) => agent.serviceAccount,
  "agent.priority_class": ({ agent }) => agent.priorityClass,
  "agent.security_context.seccomp_profile": ({ agent }) => agent.securityContext.seccompProfile,
  "agent.security_context.app_armor_profile": ({ agent }) => agent.securityContext.appArmorProfile,
  "agent.startup_timeout": ({ agent }) => agent.startupTimeoutMs / 1000,
  "agent.communication_timeout": ({ agent }) => agent.communicationTimeoutMs / 1000,
  "agent.idle_timeout": ({ agent }) => agent.idleTimeoutMs / 1000,
  "agent.resume_timeout": ({ agent }) => agent.resumeTimeoutMs / 1000,
  "agent.ttl": ({ agent }) => agent.ttlS,
  "agent.log_level": ({ agent }) => agent.logLevel,
  "agent.json_log": ({ agent }) => agent.jsonLog,
  "agent.metrics": ({ agent }) => agent.metrics,
  "agent.check_out_of_pods": ({ agent }) => agent.checkOutOfPods,
  "agent.flush_connections": ({ agent }) => agent.flushConnections,
  "agent.inject_headers": ({ agent }) => agent.injectHeaders,
  "agent.disable_mesh_sidecar_injection": ({ agent }) => agent.disableMeshSidecarInjection,
  "feature.env": ({ env }) => env !== false,
  "feature.env.include": envValue(({ include }) => include),
  "feature.env.exclude": envValue(({ exclude }) => exclude),
  "feature.env.override": envValue(({ override }) => redacted(override)),
  "feature.env.mapping": envValue(({ mapping }) => redacted(Object.fromEntries(mapping))),
  "feature.env.unset": envValue(({ unset }) => unset),
  "feature.env.env_file": envValue(({ envFile }) => envFile),
  "feature.local_credentials": ({ localCredentials }) => localCredentials,
  "feature.fs.mode": ({ layer }) => layer.files.mode,
  "feature.fs.read_write": ({ layer }) => layer.files.readWrite,
  "feature.fs.read_only": ({ layer }) => layer.files.readOnly,
  "feature.fs.local": ({ layer }) => layer.files.local,
  "feature.fs.not_found": ({ layer }) => layer.files.notFound,
  "feature.fs.mapping": ({ layer }) => object(layer.files.mapping),
  "feature.fs.fallback": ({ layer }) => layer.files.fallback,
  "feature.magic.auto_mount": ({ layer }) => layer.files.autoMount,
  "feature.hostname": ({ layer }) => layer.hostname,
  "feature.network.incoming.mode": ({ layer }) => layer.incoming.mode,
  "feature.network.incoming.replicas": ({ replicas }) =>
    replicas === Number.POSITIVE_INFINITY ? "all" : replicas,
  "feature.network.incoming.ports": ({ layer }) => layer.incoming.ports,
  "feature.network.incoming.ignore_ports": ({ layer }) => layer.incoming.ignorePorts,
  "feature.network.incoming.ignore_localhost": ({ layer }) => layer.incoming.ignoreLocalhost,
  "feature.network.incoming.on_concurrent_steal": ({ layer }) => layer.incoming.onConcurrentSteal,
  "feature.network.incoming.port_mapping": ({ layer }) => [...layer.incoming.portMapping],
  "feature.network.incoming.listen_ports": ({ layer }) => [...layer.incoming.listenPorts],
  "feature.network.incoming.probes": ({ probes }) => probes,
  "feature.network.incoming.canary": ({ canary }) => canary,
  ...Object.fromEntries(
    [
      "header_filter",
      "header_filter_jq",
      "path_filter",
      "method_filter",
      "body_filter",
      "all_of",
      "any_of",
      "none_of",
      "ports",
    ].map((key) => [
      `feature.network.incoming.http_filter.${key}`,
      ({ layer }: ResolvedConfig) => layer.incoming.httpFilter?.said[key],
    ]),
  ),
  "feature.network.incoming.tls": ({ tls }) =>
    tls.certificates.length === 0 ? undefined : tls.certificates,
  "feature.network.incoming.tls_delivery.protocol": ({ tls }) => tls.delivery.protocol,
  "feature.network.incoming.tls_delivery.trust_roots": ({ tls }) => tls.delivery.trustRoots,
  "feature.network.incoming.tls_delivery.server_name": ({ tls }) => tls.delivery.serverName,
  "feature.network.incoming.tls_delivery.server_cert": ({ tls }) => tls.delivery.serverCert,
  "feature.network.outgoing.tcp": ({ layer }) => layer.outgoing.tcp,
  "feature.network.outgoing.udp": ({ layer }) => layer.outgoing.udp,
  "feature.network.outgoing.ignore_localhost": ({ layer }) => layer.outgoing.ignoreLocalhost,
  "feature.network.outgoing.filter.remote": ({ layer }) => layer.outgoing.filter?.remote,
  "feature.network.outgoing.filter.local": ({ layer }) => layer.outgoing.filter?.local,
  "feature.network.outgoing.unix_streams": ({ layer }) => layer.outgoing.unixStreams,
  "feature.network.dns.enabled": ({ layer }) => layer.dns,
  "feature.network.dns.filter.remote": ({ layer }) => layer.dnsFilter?.remote,
  "feature.network.dns.filter.local": ({ layer }) => layer.dnsFilter?.local,
  "feature.network.ipv6": ({ layer }) => layer.ipv6,
};

/** Values of variables may be secrets: only their names are shown. */
const redacted = (values: Readonly<Record<string, string>>): unknown =>
  object(Object.keys(values).map((name) => [name, "<redacted>"]));

export interface EffectiveValue {
  readonly value: unknown;
  /** "file", "flag", "variable NAME", "own configuration", "default", or "made up" (a key that nobody said) */
  readonly from: string;
}

/** By key; without those that have no value. */
export function effectiveValues(loaded: LoadedConfig): Record<string, EffectiveValue> {
  const origins = originsOf(loaded);
  const all = Object.entries(VALUES).flatMap(([path, get]) => {
    const value = get(loaded.config);
    if (value === undefined) return [];
    const from = origins.get(path) ?? (path === "key" ? "made up" : "default");
    return [[path, { value, from }] as const];
  });
  return Object.fromEntries(all);
}

/** Later sources overwrite earlier ones, as their values do. */
function originsOf(loaded: LoadedConfig): Map<string, string> {
  const origins = new Map<string, string>();
  const paths = Object.keys(VALUES);
  const mark = (tree: unknown, from: string) => {
    for (const path of paths) if (says(tree, path)) origins.set(path, from);
  };
  mark(loaded.ownTree, "own configuration");
  mark(loaded.fileTree, "file");
  const override = (overrides: Overrides, from: (key: keyof Overrides) => string) => {
    for (const key of Object.keys(KEY_OF_OVERRIDE) as (keyof typeof KEY_OF_OVERRIDE)[]) {
      if (overrides[key] === undefined) continue;
      const path = KEY_OF_OVERRIDE[key];
      // One list takes the other's place: what the file says of it counts no more.
      if (key === "envInclude") origins.delete("feature.env.exclude");
      if (key === "envExclude") origins.delete("feature.env.include");
      origins.set(path, from(key));
    }
  };
  override(loaded.flags, () => "flag");
  override(loaded.variables, (key) => `variable ${loaded.variableNames[key]}`);
  return origins;
}

/** Whether a file says something about the key: there, in the short form of one above it, or in another way of writing. */
function says(tree: unknown, path: string): boolean {
  if (path === "target.path" && isObject(tree) && isObject(tree.target))
    return Object.keys(tree.target).some((key) => key !== "namespace");
  let value = tree;
  let at = "";
  for (const part of path.split(".")) {
    if (!isObject(value)) return at === "target" ? path === "target.path" : at !== "";
    if (!(part in value)) return false;
    value = value[part];
    at = below(at, part);
  }
  return value !== undefined;
}
