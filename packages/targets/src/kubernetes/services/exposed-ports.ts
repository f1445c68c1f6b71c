/**
 * Which ports of pods are meant by ports of a Service, or of pods, as people name them: a number or a name, or nothing where
 * there is one only. Pure.
 */
import { UserError } from "@inpod/protocol";
import type { V1ContainerPort, V1Pod, V1Service, V1ServicePort } from "@kubernetes/client-node";
import type { PortWish } from "../../api.ts";
import { nameOf, portNamed, targetPortOf } from "./pod-port.ts";

/** A port that was wished, and where each pod has it. */
export interface MeantPort {
  readonly protocol: "tcp" | "udp";
  /** `port 80 (http) of service/web` */
  readonly name: string;
  readonly servicePort: number | undefined;
  /** What the user should know of it. */
  readonly note: string | undefined;
  /** Undefined: the pod has no such port. */
  in(pod: V1Pod): number | undefined;
}

/** @throws UserError TARGET_PORT_UNKNOWN */
export function portOfService(service: V1Service, wish: PortWish): MeantPort {
  const what = nameOf(service);
  const all = service.spec?.ports ?? [];
  const isHeadless = service.spec?.clusterIP === "None";
  const port = chosen(what, all, wish, isHeadless);
  if (port.protocol === "SCTP") throw sctp(what, port);
  const protocol = port.protocol === "UDP" ? "udp" : "tcp";
  const { targetPort, port: number } = port;
  const isOther = isHeadless && typeof targetPort === "number" && targetPort !== number;
  return {
    protocol,
    name: `${protocol === "udp" ? "UDP " : ""}port ${number}${named(port)} of ${what}`,
    servicePort: number,
    note: isOther
      ? `${what} is headless: its clients reach port ${targetPort} of the pods themselves, not ${number}`
      : undefined,
    in: (pod) => targetPortOf(port, pod),
  };
}

/** @param own the pod that names are looked up in first. @throws UserError TARGET_PORT_UNKNOWN */
export function portOfPods(
  what: string,
  own: V1Pod,
  { port, otherwise, protocol = "tcp" }: PortWish,
): MeantPort {
  const kubernetes = protocol === "udp" ? "UDP" : "TCP";
  const name = (text: string | number): string =>
    `${protocol === "udp" ? "UDP " : ""}port ${text} of ${what}`;
  if (typeof port === "string") {
    const number = portNamed(port, kubernetes, own);
    if (number === undefined) throw noSuchName(what, port, own, kubernetes);
    const in_ = (pod: V1Pod): number | undefined => portNamed(port, kubernetes, pod);
    return {
      protocol,
      name: name(`${number} (${port})`),
      servicePort: undefined,
      note: undefined,
      in: in_,
    };
  }
  const declared = declaredPorts(own, kubernetes);
  const [only] = declared;
  const isOnly = declared.length === 1 && only !== undefined;
  const number = port ?? (declared.includes(otherwise) || !isOnly ? otherwise : only);
  return {
    protocol,
    name: name(number),
    servicePort: undefined,
    note:
      declared.length === 0 || declared.includes(number)
        ? undefined
        : undeclared(what, number, own, kubernetes),
    in: () => number,
  };
}

/** Each once, as wishes; SCTP left out. */
export function allDeclared(
  ports: readonly { readonly port: number; readonly protocol?: string | undefined }[],
): readonly PortWish[] {
  const all = new Map<string, PortWish>();
  for (const { port, protocol = "TCP" } of ports) {
    if (protocol !== "TCP" && protocol !== "UDP") continue;
    all.set(`${protocol} ${port}`, {
      ...{ port, otherwise: port, protocol: protocol === "UDP" ? "udp" : "tcp" },
    });
  }
  return [...all.values()];
}

function chosen(
  what: string,
  all: readonly V1ServicePort[],
  { port: wanted, otherwise, protocol }: PortWish,
  isHeadless: boolean,
): V1ServicePort {
  const spoken = all.filter(
    (each) => protocol === undefined || (each.protocol ?? "TCP") === protocol.toUpperCase(),
  );
  // Where a number or a name is both TCP's and UDP's: TCP, unless it was said.
  const inOrder = [...spoken].sort((a, b) => rank(a) - rank(b));
  const find = (is: (each: V1ServicePort) => boolean): V1ServicePort | undefined =>
    inOrder.find(is);
  const byNumber = (number: number): V1ServicePort | undefined =>
    find(({ port }) => port === number) ??
    // Of a headless Service the pods' own numbers are what clients use.
    (isHeadless ? find(({ targetPort }) => targetPort === number) : undefined);
  const numbers = new Set(inOrder.map(({ port }) => port));
  const found =
    typeof wanted === "string"
      ? (find(({ name }) => name === wanted) ?? find(({ targetPort }) => targetPort === wanted))
      : wanted !== undefined
        ? byNumber(wanted)
        : (byNumber(otherwise) ?? (numbers.size === 1 ? inOrder[0] : undefined));
  if (found !== undefined) return found;
  throw unknown(what, all, wanted, protocol);
}

const RANKS: Readonly<Record<string, number>> = { TCP: 0, UDP: 1 };
const rank = ({ protocol = "TCP" }: V1ServicePort): number => RANKS[protocol] ?? 2;

function unknown(
  what: string,
  all: readonly V1ServicePort[],
  wanted: PortWish["port"],
  protocol: PortWish["protocol"],
): UserError {
  const kind = protocol === "udp" ? "UDP port" : "port";
  const behind = all.find(({ targetPort }) => targetPort === wanted);
  const meant = behind && `did you mean ${behind.port}? It leads to ${wanted} of the pods`;
  const ports =
    all.length === 0 ? "it has no ports" : `its ports are: ${all.map(portWords).join(", ")}`;
  return new UserError(
    "TARGET_PORT_UNKNOWN",
    wanted === undefined
      ? `which ${kind} of ${what} is meant?`
      : `${what} has no ${kind} ${typeof wanted === "string" ? `named "${wanted}"` : wanted}`,
    {
      hints: [
        ...(meant === undefined ? [] : [meant]),
        ports,
        "say it behind yours: --expose LOCAL:REMOTE",
        ...(typeof wanted === "number"
          ? ["one that only the pods have, with one of them or their workload: deployment/NAME"]
          : []),
      ],
    },
  );
}

/** "80 (http)", "53/udp (dns)" */
export const portWords = (port: Pick<V1ServicePort, "port" | "protocol" | "name">): string =>
  `${port.port}${(port.protocol ?? "TCP") === "TCP" ? "" : `/${port.protocol?.toLowerCase()}`}${named(port)}`;
const named = ({ name }: Pick<V1ServicePort, "name">): string =>
  name === undefined || name === "" ? "" : ` (${name})`;

const sctp = (what: string, port: V1ServicePort): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `port ${portWords(port)} of ${what} is of SCTP`, {
    hints: ["only TCP and UDP can be brought here"],
  });

/** A container need not declare what it listens on, so this is no reason to refuse it. */
const undeclared = (what: string, number: number, pod: V1Pod, protocol: string): string =>
  `no container of ${what} declares port ${number}; declared are ${containerPorts(pod)
    .filter((each) => (each.protocol ?? "TCP") === protocol)
    .map(({ containerPort: port, ...each }) => portWords({ port, ...each }))
    .join(", ")}`;

const containerPorts = ({ spec }: V1Pod): V1ContainerPort[] =>
  (spec?.containers ?? []).flatMap(({ ports = [] }) => ports);

function noSuchName(what: string, name: string, pod: V1Pod, protocol: string): UserError {
  const named = containerPorts(pod).filter((each) => each.name !== undefined);
  const kind = protocol === "UDP" ? "UDP port" : "port";
  return new UserError(
    "TARGET_PORT_UNKNOWN",
    `no container of ${what} has a ${kind} named "${name}"`,
    {
      hints: [
        named.length === 0
          ? "their ports have no names: say the number"
          : `their ports are: ${named.map((each) => `${each.containerPort} (${each.name})`).join(", ")}`,
      ],
    },
  );
}

const declaredPorts = (pod: V1Pod, protocol: string): number[] => [
  ...new Set(
    containerPorts(pod)
      .filter((each) => (each.protocol ?? "TCP") === protocol)
      .map(({ containerPort }) => containerPort),
  ),
];
