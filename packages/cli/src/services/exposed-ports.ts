/** The ports that `--expose` names, taken from the target and brought to this machine. */
import { UserError } from "@inpod/protocol";
import { type FilterSpec, type Stolen, type TakeOptions, TunnelFailure } from "@inpod/session";
import type { Target, TargetPort } from "@inpod/targets";
import type { ExposeWish } from "./expose.ts";
import { exposedPort, type LocalPort } from "./local-port.ts";
import type { ServicePlace, Serving } from "./with-service.ts";

export interface ExposeOptions {
  readonly way: "steal" | "mirror";
  /** Only such requests. */
  readonly filter?: FilterSpec | undefined;
  /** The filter for people: "VERSION: alice". */
  readonly marked?: string | undefined;
  /** What is said when another session has the same: undefined: the usual. */
  readonly held?: ((port: string, cause: TunnelFailure) => UserError) | undefined;
}

export interface ExposedServing extends Serving {
  readonly ports: readonly {
    /** By which clients in the cluster have it: "web.shop:80". */
    readonly address: string;
  }[];
}

interface Exposed extends LocalPort {
  readonly wish: ExposeWish;
  readonly meant: TargetPort;
}

/** Takes them until the session ends. @throws UserError TARGET_PORT_*, when one cannot be had */
export async function expose(
  place: ServicePlace,
  wishes: readonly ExposeWish[],
  options: ExposeOptions,
): Promise<ExposedServing> {
  const { way, marked } = options;
  const meant = await meantPorts(place.target, wishes, place.signal);
  refuseTwice(wishes, meant);
  const all = wishes.map((wish, index): Exposed => {
    const port = meant[index] as TargetPort;
    return { wish, meant: port, ...exposedPort(place, wish.local, port, options) };
  });
  const close = (): void => {
    for (const { end } of all) end.close();
  };
  try {
    for (const each of all) await take(place, each, options);
    for (const { meant, end, onNobody } of all)
      if (meant.protocol === "tcp" && !(await end.isListening())) onNobody();
  } catch (error) {
    close();
    throw error;
  }
  const notes = meant.flatMap(({ note }) => note ?? []);
  const lines = all.map(
    ({ wish, meant: { name } }) => `${whatComes(name, way, marked)} to 127.0.0.1:${wish.local}`,
  );
  const [address = place.target.name] = place.session.target.addresses;
  const ports = meant.map((port) => ({ address: port.address ?? hostPort(address, port) }));
  return { ready: [...notes, ...lines], close, ports };
}

function whatComes(name: string, way: "steal" | "mirror", marked: string | undefined): string {
  if (way === "mirror")
    return `a copy of ${marked === undefined ? "what is sent" : `requests with ${marked}`} to ${name} comes`;
  return marked === undefined
    ? `what is sent to ${name} comes`
    : `requests with ${marked} to ${name} (all others go to the pods) come`;
}

const hostPort = (address: string, { own }: TargetPort): string =>
  `${address.includes(":") ? `[${address}]` : address}:${own() ?? ""}`;

async function take(
  place: ServicePlace,
  { meant, end }: Exposed,
  { way, filter, held }: ExposeOptions,
): Promise<Stolen> {
  const { incoming, target } = place;
  const { protocol, name } = meant;
  const port = meant.own() ?? firstOf(meant, target);
  if (port === undefined) throw nowhere(name);
  const options: TakeOptions = { protocol, filter, portAt: (id) => meant.at(id) };
  const taking =
    way === "steal"
      ? incoming.steal(port, end.onConnection, options)
      : incoming.mirror(port, end.onConnection, options);
  return taking.catch((error: unknown) => {
    if (!(error instanceof TunnelFailure)) throw error;
    const isHeld = error.errno === "EADDRINUSE";
    throw isHeld && held !== undefined ? held(name, error) : notTaken(name, way, isHeld, error);
  });
}

/** What the port is called where the target's own pod has none of that name. */
const firstOf = (meant: TargetPort, { replicas }: Target): number | undefined =>
  replicas
    ?.now()
    .map(({ id }) => meant.at(id))
    .find((number) => number !== undefined);

/** In the order of the wishes. @throws UserError TARGET_PORT_UNKNOWN */
async function meantPorts(
  target: Target,
  wishes: readonly ExposeWish[],
  signal: AbortSignal,
): Promise<readonly TargetPort[]> {
  const said = wishes.map(({ remote, local, protocol }) => ({
    port: remote,
    otherwise: local,
    protocol,
  }));
  if (target.ports !== undefined) return target.ports(said, signal);
  return wishes.map((wish): TargetPort => {
    const { remote = wish.local, protocol = "tcp" } = wish;
    if (typeof remote === "string") throw noNames(wish);
    const name = `${protocol === "udp" ? "UDP " : ""}port ${remote} of ${target.name}`;
    return { protocol, name, servicePort: undefined, own: () => remote, at: () => remote };
  });
}

/** Connections would come to the last one only. */
function refuseTwice(wishes: readonly ExposeWish[], meant: readonly TargetPort[]): void {
  for (const [index, { protocol, own }] of meant.entries()) {
    const before = meant.findIndex((each) => each.protocol === protocol && each.own() === own());
    if (before === index) continue;
    const [first, second] = [wishes[before]?.text, wishes[index]?.text];
    throw new UserError(
      "USAGE_INVALID",
      `--expose ${first} and ${second} are the same port of the pods`,
      {
        hints: [`each port of the target comes to one of yours: leave one of them out`],
      },
    );
  }
}

const noNames = ({ text }: ExposeWish): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `--expose ${text}: only ports of a cluster have names`, {
    hints: ["say its number: --expose 8080:80"],
  });

const nowhere = (name: string): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `${name} leads nowhere: no pod has a port of that name`, {
    hints: [
      "its targetPort is a name, which a container's port must have: kubectl get pods -o yaml",
    ],
  });

function notTaken(
  name: string,
  way: "steal" | "mirror",
  isHeld: boolean,
  cause: TunnelFailure,
): UserError {
  const code = isHeld ? "TARGET_PORT_HELD" : "TARGET_PORT_NOT_TAKEN";
  const verb = way === "steal" ? "taken" : "mirrored";
  return new UserError(code, `${name} cannot be ${verb}`, {
    cause,
    hints: isHeld
      ? [
          "who has what: inpod status",
          "several developers share a Service, each with a mark of their own: inpod mesh",
        ]
      : ["what an agent may do there: inpod doctor"],
  });
}
