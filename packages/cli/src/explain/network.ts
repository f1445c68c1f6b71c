/** Whose a connection, a name or a listening port is. */
import type { OutgoingDecision } from "@inpod/layer/rules";
import { isLoopback, parseAddress } from "@inpod/layer/rules";
import { describeFilter, type Resolved } from "@inpod/session";
import { changeListening, changeName, changeOutgoing, HERE } from "./change.ts";
import type { Answer, Explanation } from "./explanation.ts";
import type { Ground } from "./ground.ts";
import type { Subject } from "./subject.ts";

/** Port 0 is none that an entry of a filter names. */
const ANY_PORT = 0;
/** A name without a known address is decided about with one that means nothing (RFC 5737). */
const UNKNOWN_ADDRESS = "192.0.2.1";
const FIRST_UNPRIVILEGED = 1024;

const protocolsOf = (protocol: "tcp" | "udp" | undefined): readonly ("tcp" | "udp")[] =>
  protocol === undefined ? ["tcp", "udp"] : [protocol];

/**
 * @param resolved of a name: what it is there where it is resolved; undefined: nobody was asked
 * @param inPod what a connection from there came to
 */
export function explainHost(
  subject: string,
  asked: Extract<Subject, { kind: "host" }>,
  ground: Ground,
  { resolved, inPod = [] }: { resolved?: Resolved | undefined; inPod?: readonly string[] },
): Explanation {
  const { host, isAddress, port } = asked;
  const addresses = addressesOf(asked, resolved);
  if (!isAddress) for (const address of addresses) ground.learn(address, host);
  const answers: Answer[] = [];
  for (const protocol of protocolsOf(asked.protocol)) {
    const decided = addresses.map((address) => ({
      address,
      ...ground.policy.outgoing({ protocol, address, port: port ?? ANY_PORT }),
    }));
    const different = unlike(decided);
    for (const each of different) {
      const { verdict, why, key, address } = each;
      answers.push({
        // Only addresses that are decided about differently are worth their names.
        about: different.length > 1 ? `${protocol} ${address}` : protocol,
        ...{ verdict, why, key, origin: ground.origin(key) },
        words: wordsOf(each, address, protocol),
        changes: changeOutgoing({ host, port, protocol }, each, ground.current),
      });
    }
  }
  return {
    subject,
    kind: "host",
    answers: [...(isAddress ? [] : [nameAnswer(host, ground)]), ...asOne(answers)],
    notes: notesOf(asked, ground),
    here: [],
    pod: [...(resolved?.words ?? []), ...inPod],
    depends: dependsOf(asked, ground, resolved),
  };
}

/** Both protocols in one, where they are decided about alike. */
function asOne([tcp, udp, ...others]: readonly Answer[]): readonly Answer[] {
  if (tcp === undefined || udp === undefined) return tcp === undefined ? [] : [tcp];
  const isAlike = tcp.words === udp.words && tcp.why === udp.why && others.length === 0;
  return isAlike ? [{ ...tcp, about: "tcp, udp" }] : [tcp, udp, ...others];
}

function addressesOf(
  { host, isAddress }: Extract<Subject, { kind: "host" }>,
  resolved: Resolved | undefined,
): readonly string[] {
  if (isAddress) return [host];
  if (resolved !== undefined && resolved.addresses.length > 0) return resolved.addresses;
  return [isLocalhost(host) ? "127.0.0.1" : UNKNOWN_ADDRESS];
}

/** RFC 6761, 6.3 */
const isLocalhost = (host: string): boolean => host === "localhost" || host.endsWith(".localhost");

const unlike = <Decision extends OutgoingDecision>(decided: readonly Decision[]): Decision[] =>
  decided.filter(
    ({ verdict, why }, at) =>
      decided.findIndex((other) => other.verdict === verdict && other.why === why) === at,
  );

function wordsOf({ verdict }: OutgoingDecision, address: string, protocol: string): string {
  if (verdict === "local") return "from this machine";
  const parsed = parseAddress(address);
  if (parsed === undefined || !isLoopback(parsed)) return "from the pod";
  return protocol === "tcp"
    ? "the pod's loopback; if nobody listens there, this machine's"
    : "the pod's loopback";
}

const DNS_OFF = "feature.network.dns is off";
const DNS_KEY = "feature.network.dns.enabled";

function nameAnswer(host: string, { layer, policy, current, origin }: Ground): Answer {
  const all = layer.dns
    ? {
        verdict: "remote",
        why: "the program's own resolver reads the pod's /etc/hosts and /etc/resolv.conf",
        key: DNS_KEY,
      }
    : { verdict: "local", why: DNS_OFF, key: DNS_KEY };
  const decided = policy.name?.(host) ?? all;
  const isOfPod = decided.verdict === "remote";
  return {
    about: "name",
    ...decided,
    words: isOfPod ? "resolved as in the pod" : "resolved by this machine",
    origin: origin(decided.key),
    changes: changeName(host, decided, current),
  };
}

function notesOf(
  { host, port, isAddress }: Extract<Subject, { kind: "host" }>,
  { layer, target }: Ground,
): string[] {
  const addresses = target?.described.addresses ?? [];
  const parsed = isAddress ? parseAddress(host) : undefined;
  const isV6 = parsed?.family === 6 && !isLoopback(parsed);
  const loops = isLocalhost(host) || (parsed !== undefined && isLoopback(parsed));
  const entries = [
    ...(layer.outgoing.filter?.local ?? []),
    ...(layer.outgoing.filter?.remote ?? []),
  ];
  return [
    ...(loops && !layer.outgoing.ignoreLocalhost
      ? ["a port on which the program itself listens, or a debugger, stays on this machine"]
      : []),
    ...(isV6 && addresses.length > 0 && !addresses.some((each) => each.includes(":"))
      ? ["the pod has no IPv6 address: the program gets ENETUNREACH"]
      : []),
    ...(isV6 && !layer.ipv6
      ? ["feature.network.ipv6 is off: the program cannot make an IPv6 socket (EAFNOSUPPORT)"]
      : []),
    ...(port === undefined && entries.some((entry) => /:\d+$/.test(entry))
      ? ["the filter has entries for single ports: ask with one (HOST:PORT)"]
      : []),
  ];
}

function dependsOf(
  { isAddress, port }: Extract<Subject, { kind: "host" }>,
  { layer, target }: Ground,
  resolved: Resolved | undefined,
): string[] {
  if (target !== undefined) return [];
  const { filter } = layer.outgoing;
  const entries = [...(filter?.local ?? []), ...(filter?.remote ?? [])];
  return [
    ...(!isAddress && layer.dns ? ["to which addresses the pod resolves it, if to any"] : []),
    ...(!isAddress && resolved === undefined && entries.length > 0
      ? ["whether an entry of the filter for addresses, or a search domain of the pod, is about it"]
      : []),
    ...(isAddress && port === 53 && layer.dns ? ["whether it is a name server of the pod"] : []),
    "whether it can be reached from the pod",
  ];
}

export function explainListening(
  subject: string,
  { address, port, protocol }: Extract<Subject, { kind: "listen" }>,
  ground: Ground,
  inPod: readonly string[],
): Explanation {
  const { policy, layer, origin, current } = ground;
  const decision = policy.bind({ address, port }, ground.debuggerPorts);
  const { verdict, why, key } = decision;
  return {
    subject,
    kind: "listen",
    answers: [
      {
        ...{ about: protocol === "udp" ? "listen (udp)" : "listen", verdict, why, key },
        words: listeningWords(verdict, layer.incoming.mode),
        origin: origin(key),
        changes: changeListening(port, decision, current),
      },
    ],
    notes: [
      ...(verdict === "take" ? takenNotes(port, protocol, ground) : []),
      ...(ground.debuggerPorts.length === 0 && verdict === "take"
        ? [
            "a port that the program's own command line gives to a debugger stays on this machine (--command)",
          ]
        : []),
    ],
    here: [],
    pod: inPod,
    depends:
      ground.target === undefined && verdict === "take"
        ? [
            "whether the target may be stolen from or mirrored, and whether somebody has that port already",
          ]
        : [],
  };
}

function listeningWords(verdict: "native" | "take", mode: string): string {
  if (verdict === "native") return `${HERE}: nobody in the cluster reaches it`;
  return mode === "steal"
    ? "stolen: what the pod's clients send to the port arrives at the program"
    : "mirrored: the program gets copies of what the pod's clients send to the port";
}

function takenNotes(
  port: number,
  protocol: "tcp" | "udp" | undefined,
  { layer }: Ground,
): string[] {
  const { portMapping, listenPorts, httpFilter } = layer.incoming;
  const podPort = portMapping.get(port) ?? port;
  const wished = listenPorts.get(port);
  const isFiltered =
    protocol !== "udp" && httpFilter !== undefined && (httpFilter.ports?.includes(podPort) ?? true);
  return [
    ...(podPort === port
      ? []
      : [`feature.network.incoming.port_mapping: it stands for port ${podPort} of the pod`]),
    ...(wished === undefined
      ? port < FIRST_UNPRIVILEGED
        ? ["on this machine it gets another number, which is told: below 1024 only root may listen"]
        : []
      : [`feature.network.incoming.listen_ports: on this machine it is port ${wished}`]),
    ...(isFiltered
      ? [`only requests that match, the pod keeps all others: ${describeFilter(httpFilter.filter)}`]
      : []),
  ];
}
