/** What a bind and a connect to a loopback address mean, by their port. C keeps the answers as tables. */
import { isLoopback, parseAddress } from "./addresses.ts";

const INCOMING = "feature.network.incoming";

export interface BindConfig {
  readonly mode: "mirror" | "steal" | "off";
  /** incoming.ports: only these. Absent: all. Of the user's process, or of the pod where port_mapping makes it another. */
  readonly ports?: readonly number[];
  /** Which key has said so; left out: that one. */
  readonly portsKey?: string;
  readonly ignorePorts: readonly number[];
  /** incoming.ignore_localhost: what listens on a loopback address only stays here. */
  readonly ignoreLocalhost: boolean;
  readonly debuggerPorts: readonly number[];
}

export interface BindDecision {
  /** "take": the socket stands for the pod's port, and traffic to that comes here. */
  readonly verdict: "native" | "take";
  readonly why: string;
  /**
   * The key of the configuration that has decided (`feature.network.incoming.ignore_ports`); of a default, the key by which
   * it is changed. Undefined: no configuration changes it.
   */
  readonly key: string | undefined;
}

/** @param socket `port` 0: the kernel chooses. `podPort`: by port_mapping, if that is another. `address`: an IP literal. */
export function decideBind(
  socket: { readonly address: string; readonly port: number; readonly podPort?: number },
  config: BindConfig,
): BindDecision {
  const native = (why: string, key?: string): BindDecision => ({ verdict: "native", why, key });
  const { port, podPort = port } = socket;
  const isIn = (ports: readonly number[]): boolean =>
    ports.includes(port) || ports.includes(podPort);
  const address = parseAddress(socket.address);
  if (address === undefined) return native("not an IP address");
  if (config.mode === "off") return native(`${INCOMING} is off`, `${INCOMING}.mode`);
  // A port that nobody chose is a client's source port or one that is told to somebody local.
  if (port === 0) return native("any free port was asked for: nobody in the cluster knows it");
  if (config.debuggerPorts.includes(port)) return native("a debugger's port");
  if (isIn(config.ignorePorts))
    return native(`${INCOMING}.ignore_ports`, `${INCOMING}.ignore_ports`);
  if (config.ports !== undefined && !isIn(config.ports)) {
    const { portsKey = `${INCOMING}.ports` } = config;
    return native(`${portsKey} does not name it`, portsKey);
  }
  // 0.0.0.0 and :: are loopback to connect(2), and every address to bind(2).
  const isUnspecified = address.bytes.every((byte) => byte === 0);
  if (config.ignoreLocalhost && !isUnspecified && isLoopback(address)) {
    return native(`${INCOMING}.ignore_localhost`, `${INCOMING}.ignore_localhost`);
  }
  const key = `${INCOMING}.mode`;
  return { verdict: "take", why: `${key} is "${config.mode}"`, key };
}

export interface LoopbackConfig {
  /** outgoing.ignore_localhost */
  readonly ignoreLocalhost: boolean;
  /** Ports on which processes of the session's tree listen. */
  readonly listeningPorts: ReadonlySet<number>;
  readonly debuggerPorts: readonly number[];
}

export interface LoopbackDecision {
  /** "remote": the pod's loopback first. If that refuses and something here listens, then here. */
  readonly verdict: "native" | "remote";
  readonly why: string;
}

/** For a connect to a loopback address (`isLoopback`). */
export function decideLoopback(
  { port }: { readonly port: number },
  config: LoopbackConfig,
): LoopbackDecision {
  const native = (why: string): LoopbackDecision => ({ verdict: "native", why });
  if (config.ignoreLocalhost) return native("feature.network.outgoing.ignore_localhost");
  if (config.listeningPorts.has(port)) return native("a process of this session listens there");
  if (config.debuggerPorts.includes(port)) return native("a debugger's port");
  return { verdict: "remote", why: "the pod's loopback: its sidecars listen there" };
}
