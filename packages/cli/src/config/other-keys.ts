/** Documented keys that this version does not act on: refused by name, or accepted without effect. */

/** Accepted and ignored, with all that is below them. */
const IGNORED = [
  "api",
  "telemetry",
  "use_proxy",
  "sip_binaries",
  "skip_sip",
  "internal_proxy",
  "external_proxy",
  "experimental",
];

/** Asks for what a session does anyway: accepted and ignored with just this value. */
const HARMLESS: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ["operator", false],
  ["multi_cluster", false],
  ["feature.env.load_from_process", false],
  ["feature.magic.aws", false],
  ["feature.magic.auto_mount", false],
  ["feature.magic.turbo", false],
  ["feature.network.ipv6", true],
]);

const under = (path: string, keys: string): string[] =>
  keys.split(" ").map((key) => (path === "" ? key : `${path}.${key}`));

const LATER: ReadonlySet<string> = new Set([
  ...under("", "operator profile multi_cluster traceparent baggage ci container"),
  ...under(
    "target",
    "pod deployment rollout job cron_job stateful_set service replica_set labels container",
  ),
  ...under(
    "agent",
    "flush_connections nftables external_ip_fix exclude_from_mesh dns inject_headers " +
      "override_cache_control max_body_buffer_size max_body_buffer_timeout http_detection_timeout " +
      "clean_iptables_on_start jaq_time_limit",
  ),
  ...under("feature", "copy_target split_queues db_branches preview"),
  ...under("feature.env", "load_from_process"),
  ...under("feature.fs", "read_write readonly_file_buffer"),
  ...under("feature.magic", "aws auto_mount turbo"),
  ...under("feature.network", "ipv6"),
  ...under(
    "feature.network.incoming",
    "http_filter listen_ports on_concurrent_steal tls_delivery https_delivery",
  ),
  ...under("feature.network.outgoing", "unix_streams"),
  ...under("feature.network.dns", "filter"),
]);

export interface Sorted {
  /** What is left for the schema. */
  readonly tree: unknown;
  readonly refused: readonly string[];
  readonly ignored: readonly string[];
}

/** `null` is the same as leaving the key out. */
export function sortOutOtherKeys(tree: unknown): Sorted {
  const refused: string[] = [];
  const ignored: string[] = [];
  const walk = (value: unknown, path: string): unknown => {
    if (!isObject(value)) return value;
    const kept: [string, unknown][] = [];
    for (const [key, inner] of Object.entries(value)) {
      const at = path === "" ? key : `${path}.${key}`;
      if (inner === null || inner === undefined) continue;
      if (IGNORED.includes(at) || (HARMLESS.has(at) && HARMLESS.get(at) === inner))
        ignored.push(at);
      else if (LATER.has(at)) refused.push(at);
      else kept.push([key, walk(inner, at)]);
    }
    return Object.fromEntries(kept);
  };
  return { tree: walk(tree, ""), refused, ignored };
}

/** Keys directly below `path` that are known here, for suggestions. */
export const otherKeysBelow = (path: string): string[] =>
  [...LATER, ...IGNORED]
    .filter((key) => key.slice(0, Math.max(0, key.lastIndexOf("."))) === path)
    .map((key) => key.slice(path === "" ? 0 : path.length + 1));

/** A table of a file; not a list, not a TOML date. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
