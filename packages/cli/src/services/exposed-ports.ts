/** The ports that `--expose` names, taken from the target and brought to this machine. */
import type { UserError } from "@inpod/protocol";
import { type Stolen, type TakeOptions, TunnelFailure } from "@inpod/session";
import type { TargetPort } from "@inpod/targets";
import { exposedPort, type LocalPort, type LocalPortOptions } from "./local-port.ts";
import type { MeantPort } from "./meant-ports.ts";
import { notTaken } from "./not-taken.ts";
import type { ServicePlace, Serving } from "./with-service.ts";

export interface ExposeOptions extends LocalPortOptions {
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

type Exposed = LocalPort & MeantPort;

/** Takes them until the session ends. @throws UserError TARGET_PORT_*, when one cannot be had */
export async function expose(
  place: ServicePlace,
  ports: readonly MeantPort[],
  options: ExposeOptions,
): Promise<ExposedServing> {
  const { way, marked } = options;
  const all = ports.map(
    (port): Exposed => ({
      ...port,
      ...exposedPort(place, port.wish.local, port.meant, options),
    }),
  );
  for (const each of all) await take(place, each, options);
  for (const { meant, end, onNobody } of all)
    if (meant.protocol === "tcp" && !(await end.isListening())) onNobody();
  const notes = ports.flatMap(({ meant }) => meant.note ?? []);
  const lines = all.map(
    ({ wish, meant: { name } }) => `${whatComes(name, way, marked)} to 127.0.0.1:${wish.local}`,
  );
  const [address = place.target.name] = place.session.target.addresses;
  const reached = ports.map(({ meant }) => ({
    address: meant.address ?? hostPort(address, meant),
  }));
  return { ready: [...notes, ...lines], ports: reached };
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
  { incoming }: ServicePlace,
  { meant, port, end }: Exposed,
  { way, filter, held }: ExposeOptions,
): Promise<Stolen> {
  const { protocol, name } = meant;
  const options: TakeOptions = { protocol, filter, portAt: (id) => meant.at(id) };
  const taking =
    way === "steal"
      ? incoming.steal(port, end.onConnection, options)
      : incoming.mirror(port, end.onConnection, options);
  return taking.catch((error: unknown) => {
    if (!(error instanceof TunnelFailure)) throw error;
    const isHeld = error.errno === "EADDRINUSE";
    throw isHeld && held !== undefined ? held(name, error) : notTaken(name, way, error);
  });
}
