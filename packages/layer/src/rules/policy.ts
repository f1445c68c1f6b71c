/** All that a configuration says about a session's calls: the layer decides by it, and `inpod explain` tells it. */
import type { ByteString, Endpoint } from "@inpod/protocol";
import type { ResolverConfig } from "@inpod/session";
import type { LayerConfig } from "../config.ts";
import { decideSkip, type SkipDecision } from "./build-tools.ts";
import { compileDestinations } from "./destinations.ts";
import { compileDnsFilter } from "./dns.ts";
import { compileOutgoing, type OutgoingContext } from "./outgoing.ts";
import { compileMapping, mapPath, type PathMapping } from "./path-mapping.ts";
import { compilePathRules, type PathFacts } from "./path-rules.ts";
import { decidePath, type PathDecision, type PathOperation, type PathRule } from "./paths.ts";
import { type BindDecision, decideBind } from "./ports.ts";
import { compileUnix } from "./unix.ts";

export interface PolicyParts {
  readonly config: LayerConfig;
  readonly facts: PathFacts;
  /** The pod's resolv.conf. */
  readonly resolver: ResolverConfig;
  /** Names whose answers, to this session's programs, contained the address. */
  readonly names: OutgoingContext["names"];
}

export interface WhosePath {
  /** As it is there: after feature.fs.mapping. */
  readonly path: ByteString;
  readonly isMapped: boolean;
  /** The mapping's part in it included. */
  readonly decision: PathDecision;
}

export interface Policy {
  readonly rules: readonly PathRule[];
  readonly mapping: readonly PathMapping[];
  /** @param from as `decidePath` */
  path(path: ByteString, operation: PathOperation, from?: number): WhosePath;
  readonly outgoing: ReturnType<typeof compileOutgoing>;
  /** Of a name as a resolver asks for it. Undefined: there is no filter, so all are found as the pod finds them. */
  readonly name: ReturnType<typeof compileDnsFilter>;
  /** The same, as far as addresses alone tell it. */
  readonly destinations: ReturnType<typeof compileDestinations>;
  /** Of a unix socket: its path, or "@" and its abstract name. */
  readonly unix: ReturnType<typeof compileUnix>;
  bind(socket: Endpoint, debuggerPorts: readonly number[]): BindDecision;
  program(executable: ByteString, argv0: ByteString): SkipDecision;
}

/** @throws ConfigValueError */
export function compilePolicy({ config, facts, resolver, names }: PolicyParts): Policy {
  const { files, dns, hostname, incoming } = config;
  const rules = compilePathRules({ ...files, dns, hostname }, facts);
  const mapping = compileMapping(files.mapping);
  return {
    rules,
    mapping,
    path: (path, operation, from = 0) => {
      const mapped = mapPath(mapping, path);
      const decision = decidePath(rules, mapped.path, operation, from);
      const isMapped = mapped.path !== path;
      const why = isMapped ? `${decision.why}; ${mapped.why} takes ${path} there` : decision.why;
      return { path: mapped.path, isMapped, decision: { ...decision, why } };
    },
    destinations: compileDestinations(config.outgoing, {
      nameservers: resolver.nameservers,
      dns,
    }),
    outgoing: compileOutgoing(config.outgoing, {
      nameservers: resolver.nameservers,
      searchDomains: resolver.searchDomains,
      dns,
      names,
    }),
    name: compileDnsFilter(dns ? config.dnsFilter : undefined, resolver.searchDomains),
    unix: compileUnix(config.outgoing.unixStreams ?? []),
    bind: (socket, debuggerPorts) =>
      decideBind(
        { ...socket, podPort: incoming.portMapping.get(socket.port) ?? socket.port },
        {
          mode: incoming.mode,
          ignorePorts: incoming.ignorePorts,
          ignoreLocalhost: incoming.ignoreLocalhost,
          ...podPorts(incoming),
          debuggerPorts,
        },
      ),
    program: (executable, argv0) => decideSkip(config, executable, argv0),
  };
}

/** A filter for some ports says that the others stay local, unless they are named, too. */
function podPorts({ ports, httpFilter }: LayerConfig["incoming"]): {
  readonly ports?: readonly number[];
  readonly portsKey?: string;
} {
  const filtered = httpFilter?.ports;
  if (filtered !== undefined) {
    const portsKey = "feature.network.incoming.http_filter.ports";
    return { ports: [...filtered, ...(ports ?? [])], ...(ports === undefined && { portsKey }) };
  }
  return ports === undefined ? {} : { ports };
}
