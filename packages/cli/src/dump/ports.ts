/** `-p PORT[/udp],…`: which ports are looked at, and which the target has where none is said. */
import { UserError } from "@inpod/protocol";
import { type OnConnection, TunnelFailure } from "@inpod/session";
import type { PortWish, Target, TargetPort } from "@inpod/targets";
import { inWordsOf, numberOf } from "../services/meant-ports.ts";
import { notTaken } from "../services/not-taken.ts";
import type { ServicePlace } from "../services/with-service.ts";

export interface DumpPort {
  /** As the user wrote it. */
  readonly text: string;
  readonly port: number | string;
  /** Undefined: whichever the port has; of a pod's port TCP. */
  readonly protocol: "tcp" | "udp" | undefined;
}

const MAX_PORT = 65_535;
/** IANA_SVC_NAME, as Kubernetes checks names of ports. */
const NAME = /^(?=.{1,63}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*$/;

/** The flag's value and what it had before. @throws UserError USAGE_INVALID */
export const readDumpPorts = (text: string, before: readonly DumpPort[] = []): DumpPort[] => [
  ...before,
  ...text.split(",").map((word) => parseOne(word.trim())),
];

function parseOne(text: string): DumpPort {
  const [, word = "", protocol] = /^([^/]+)(?:\/(tcp|udp))?$/i.exec(text) ?? [];
  const number = /^\d{1,5}$/.test(word) ? Number(word) : undefined;
  const isPort = number === undefined ? NAME.test(word) : number >= 1 && number <= MAX_PORT;
  if (!isPort)
    throw new UserError("USAGE_INVALID", `-p "${text}" is no port`, {
      hints: ["a number or a name of the target's, UDP said behind it: -p 8080,http,53/udp"],
    });
  const said = protocol?.toLowerCase() as DumpPort["protocol"];
  return { text, port: number ?? word, protocol: said };
}

/** As others are told of it. */
export const portsText = (ports: readonly DumpPort[]): string =>
  ports.length === 0 ? "" : `-p ${ports.map(({ text }) => text).join(",")}`;

export interface DumpedPort {
  readonly meant: TargetPort;
  /** What it is asked for as. */
  readonly port: number;
}

/** Each port of the pods once. @throws UserError TARGET_PORT_UNKNOWN */
export async function dumpedPorts(
  target: Target,
  ports: readonly DumpPort[],
  signal: AbortSignal,
): Promise<readonly DumpedPort[]> {
  const said = ports.map(
    ({ port, protocol }): PortWish => ({
      ...{ port, protocol, otherwise: typeof port === "number" ? port : 0 },
    }),
  );
  const wishes = said.length > 0 ? said : ((await target.declaredPorts?.(signal)) ?? []);
  if (wishes.length === 0) throw whichPort(target);
  const all =
    target.ports === undefined
      ? wishes.map((wish) => ownPort(target, wish))
      : await target.ports(wishes, signal).catch((error: unknown) => {
          throw inWordsOf(error, "say it by number or name: -p PORT");
        });
  const seen = new Set<string>();
  return all
    .map((meant) => ({ meant, port: numberOf(meant, target) }))
    .filter(({ meant: { protocol }, port }) => {
      const key = `${protocol} ${port}`;
      return !seen.has(key) && seen.add(key);
    });
}

function ownPort({ name: of }: Target, { port, protocol = "tcp" }: PortWish): TargetPort {
  if (typeof port !== "number")
    throw new UserError("TARGET_PORT_UNKNOWN", `-p ${port}: only ports of a cluster have names`, {
      hints: ["say its number: -p 8080"],
    });
  const name = `${protocol === "udp" ? "UDP " : ""}port ${port} of ${of}`;
  return { protocol, name, servicePort: undefined, own: () => port, at: () => port };
}

const whichPort = ({ name }: Target): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `which ports of ${name} are meant? It names none`, {
    hints: ["say them: -p 8080, -p 8080,9090, -p 53/udp"],
  });

/** Copies of it come until the session ends. @throws UserError TARGET_PORT_* */
export async function watchPort(
  { incoming }: ServicePlace,
  { meant, port }: DumpedPort,
  onConnection: OnConnection,
): Promise<void> {
  const { protocol, name } = meant;
  try {
    await incoming.mirror(port, onConnection, { protocol, portAt: (id) => meant.at(id) });
  } catch (error) {
    throw error instanceof TunnelFailure ? notTaken(name, "mirror", error) : error;
  }
}
