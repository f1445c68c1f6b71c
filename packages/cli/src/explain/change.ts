/** What to write in the configuration for another verdict: also what `inpod trace` advises. Pure. */
import type { LayerConfig } from "@inpod/layer";
import {
  CREDENTIAL_KINDS,
  CREDENTIALS,
  type CredentialKind,
  credentialVariables,
} from "@inpod/session";

/** Of the configuration, the lists that are extended. */
export interface Current {
  readonly layer: {
    readonly files: Pick<LayerConfig["files"], "mode" | "readOnly" | "readWrite" | "local">;
    readonly outgoing: Pick<LayerConfig["outgoing"], "filter" | "unixStreams">;
    readonly incoming: Pick<LayerConfig["incoming"], "mode" | "ignorePorts" | "ports">;
  } & Pick<LayerConfig, "skipProcesses" | "skipExtraBuildTools" | "dnsFilter">;
  readonly env:
    | false
    | { readonly include: readonly string[]; readonly exclude: readonly string[] };
  readonly localCredentials: readonly CredentialKind[];
}

export interface Change {
  /** What it then is: "the pod's", "this machine's" … */
  readonly to: string;
  /** To be merged into the configuration; undefined: `words` say it. */
  readonly config?: object;
  readonly words?: string;
}

export const POD = "the pod's";
export const HERE = "this machine's";

interface Decided {
  readonly verdict: string;
  readonly key: string | undefined;
}

export const exactly = (path: string): string => `^${path.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")}$`;

const fs = (value: unknown): object => ({ feature: { fs: value } });
const network = (value: unknown): object => ({ feature: { network: value } });
const outgoing = (value: unknown): object => network({ outgoing: value });
const incoming = (value: unknown): object => network({ incoming: value });
const nothing: readonly Change[] = [];

/** An entry that the user wrote decides: no other key is asked before it. */
function ownEntry(key: string, to: string): readonly Change[] {
  const [, list = key] = /^(.*)\[\d+\]$/.exec(key) ?? [];
  return [{ to, words: `take the entry out of ${list}, or make it narrower` }];
}

export function changePath(
  path: string,
  isWritten: boolean,
  { verdict, key = "" }: Decided,
  { layer: { files } }: Current,
): readonly Change[] {
  if (key === "feature.network.dns.enabled")
    return [
      verdict === "local"
        ? { to: POD, config: network({ dns: true }) }
        : { to: HERE, config: network({ dns: false }) },
    ];
  if (key === "feature.hostname") {
    const hostname = verdict === "local";
    return [{ to: hostname ? POD : HERE, config: { feature: { hostname } } }];
  }
  if (files.mode === "local")
    return [{ to: POD, config: fs({ mode: isWritten ? "write" : "read" }) }];
  const isOwn = /\[\d+\]$/.test(key);
  if (key === "feature.local_credentials" && verdict === "not-found") {
    const kind = credentialKindOfPath(path);
    if (kind !== undefined)
      return [{ to: HERE, config: { feature: { local_credentials: [kind] } } }];
  }
  if (verdict === "remote") {
    if (isOwn) return ownEntry(key, HERE);
    const local = [...files.local, exactly(path)];
    return [{ to: HERE, config: fs({ ...keptMode(files.mode), local }) }];
  }
  if (/not_found\[\d+\]$/.test(key)) return ownEntry(key, "found");
  const list = isWritten ? "read_write" : "read_only";
  const said = isWritten ? files.readWrite : files.readOnly;
  const mode = keptMode(files.mode);
  if (verdict === "local" || verdict === "not-found" || verdict === "read-only")
    return [{ to: POD, config: fs({ ...mode, [list]: [...said, exactly(path)] }) }];
  return nothing;
}

/** The default need not be written; a mode in its short form has to be written in its long one. */
const keptMode = (mode: LayerConfig["files"]["mode"]): object => (mode === "read" ? {} : { mode });

const credentialKindOfPath = (path: string): CredentialKind | undefined =>
  CREDENTIAL_KINDS.find((kind) =>
    CREDENTIALS[kind].belowHome.some((name) => `${path}/`.includes(`/${name}/`)),
  );

/** @param host of the filter's new entry: a name or address; `port` undefined: any */
export function changeOutgoing(
  {
    host,
    port,
    protocol,
  }: {
    readonly host: string;
    readonly port?: number | undefined;
    readonly protocol: "tcp" | "udp";
  },
  { verdict, key = "" }: Decided,
  { layer }: Current,
): readonly Change[] {
  const { filter = {} } = layer.outgoing;
  const name = host.includes(":") && port !== undefined ? `[${host}]` : host;
  const entry = port === undefined ? name : `${name}:${port}`;
  switch (key) {
    case "":
      return nothing;
    case "feature.network.dns.enabled": {
      const dns = verdict === "local";
      return [{ to: dns ? POD : HERE, config: network({ dns }) }];
    }
    case "feature.network.outgoing.tcp":
    case "feature.network.outgoing.udp":
      return [{ to: POD, config: outgoing({ [protocol]: true }) }];
    case "feature.network.outgoing.ignore_localhost":
      return [{ to: POD, config: outgoing({ ignore_localhost: false }) }];
    case "feature.network.outgoing.filter.remote":
      return [
        { to: POD, config: outgoing({ filter: { remote: [...(filter.remote ?? []), entry] } }) },
      ];
    case "feature.network.outgoing.filter.local":
      return [
        { to: HERE, config: outgoing({ filter: { local: [...(filter.local ?? []), entry] } }) },
      ];
    default:
      return ownEntry(key, verdict === "local" ? POD : HERE);
  }
}

export function changeName(
  host: string,
  { verdict, key = "" }: Decided,
  { layer: { dnsFilter = {} } }: Current,
): readonly Change[] {
  const filtered = (filter: object): object => network({ dns: { filter } });
  switch (key) {
    case "feature.network.dns.filter.local":
      return [
        { to: "by this machine", config: filtered({ local: [...(dnsFilter.local ?? []), host] }) },
      ];
    case "feature.network.dns.filter.remote":
      return [
        { to: "as in the pod", config: filtered({ remote: [...(dnsFilter.remote ?? []), host] }) },
      ];
    case "feature.network.dns.enabled":
      return verdict === "remote"
        ? [
            { to: "by this machine", config: filtered({ local: [host] }) },
            { to: "by this machine, as all other names,", config: network({ dns: false }) },
          ]
        : [{ to: "as in the pod, as all other names,", config: network({ dns: true }) }];
    default:
      return ownEntry(key, verdict === "remote" ? "by this machine" : "as in the pod");
  }
}

export function changeUnix(
  name: string,
  { verdict, key = "" }: Decided,
  {
    layer: {
      outgoing: { unixStreams = [] },
    },
  }: Current,
): readonly Change[] {
  if (verdict === "not-found") return [{ to: HERE, config: network({ dns: false }) }];
  if (verdict === "remote") return ownEntry(key, HERE);
  return [{ to: POD, config: outgoing({ unix_streams: [...unixStreams, exactly(name)] }) }];
}

export function changeListening(
  port: number,
  { verdict, key = "" }: Decided,
  { layer }: Current,
): readonly Change[] {
  const { mode, ignorePorts, ports = [] } = layer.incoming;
  const kept = mode === "mirror" || mode === "off" ? {} : { mode };
  if (verdict === "take") {
    const other = mode === "steal" ? "mirror" : "steal";
    return [
      { to: `${other === "steal" ? "stolen" : "mirrored"}`, config: incoming({ mode: other }) },
      { to: HERE, config: incoming({ ...kept, ignore_ports: [...ignorePorts, port] }) },
    ];
  }
  switch (key) {
    case "feature.network.incoming.mode":
      return [
        { to: "mirrored", config: incoming({ mode: "mirror" }) },
        { to: "stolen", config: incoming({ mode: "steal" }) },
      ];
    case "feature.network.incoming.ignore_ports":
      return [
        {
          to: POD,
          config: incoming({ ...kept, ignore_ports: ignorePorts.filter((each) => each !== port) }),
        },
      ];
    case "feature.network.incoming.ignore_localhost":
      return [{ to: POD, config: incoming({ ...kept, ignore_localhost: false }) }];
    case "feature.network.incoming.ports":
    case "feature.network.incoming.http_filter.ports":
      return [{ to: POD, config: incoming({ ...kept, ports: [...ports, port] }) }];
    default:
      return nothing;
  }
}

export function changeVariable(
  name: string,
  { verdict, key = "" }: Decided,
  { env, localCredentials }: Current,
): readonly Change[] {
  const write = (value: unknown): object => ({ feature: { env: value } });
  if (env === false) return [{ to: POD, config: write(true) }];
  const { include, exclude } = env;
  switch (key) {
    case "feature.env":
      return [{ to: POD, config: write(true) }];
    case "feature.env.exclude": {
      const rest = exclude.filter((each) => each !== name);
      if (verdict === "pod") return [{ to: HERE, config: write({ exclude: [...exclude, name] }) }];
      return rest.length < exclude.length
        ? [{ to: POD, config: write({ exclude: rest }) }]
        : [{ to: POD, words: `make the pattern in ${key} narrower` }];
    }
    case "feature.env.include":
      if (verdict === "pod")
        return [{ to: HERE, words: `take it out of ${key}, or add it to feature.env.unset` }];
      return exclude.length > 0
        ? [{ to: "yours to say", config: write({ exclude, override: { [name]: "…" } }) }]
        : [{ to: POD, config: write({ include: [...include, name] }) }];
    case "feature.local_credentials": {
      const kind = CREDENTIAL_KINDS.find(
        (each) =>
          credentialVariables(
            [name],
            CREDENTIAL_KINDS.filter((other) => other !== each),
          ).length > 0,
      );
      return kind === undefined
        ? nothing
        : [{ to: HERE, config: { feature: { local_credentials: [...localCredentials, kind] } } }];
    }
    case "feature.env.override":
      return [{ to: "yours to say", config: write({ override: { [name]: "…" } }) }];
    default:
      return [{ to: "another", words: `change ${key}` }];
  }
}

export function changeProgram(
  name: string,
  { verdict, key = "" }: Decided,
  { layer }: Current,
): readonly Change[] {
  const { skipProcesses, skipExtraBuildTools } = layer;
  const without = (list: readonly string[]): readonly string[] =>
    list.filter((each) => each !== name);
  if (verdict === "tapped")
    return [{ to: "left alone", config: { skip_processes: [...skipProcesses, name] } }];
  const to = "in the pod's place";
  if (key === "skip_build_tools") return [{ to, config: { skip_build_tools: false } }];
  if (key === "skip_extra_build_tools")
    return [{ to, config: { skip_extra_build_tools: without(skipExtraBuildTools) } }];
  return [{ to, config: { skip_processes: without(skipProcesses) } }];
}
