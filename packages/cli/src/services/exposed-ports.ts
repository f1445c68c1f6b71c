/** The ports that `--expose` names, taken from the target and brought to this machine. */

import { ExposedPort } from "@inpod/ports";
import { UserError } from "@inpod/protocol";
import { type FilterSpec, TunnelFailure } from "@inpod/session";
import { developerName } from "./developer.ts";
import type { ExposeWish } from "./expose.ts";
import type { ServicePlace, Serving } from "./with-service.ts";

export interface ExposeOptions {
  readonly way: "steal" | "mirror";
  /** Only such requests. */
  readonly filter?: FilterSpec | undefined;
}

/** @throws UserError TARGET_PORT_*, when a port cannot be had */
export async function expose(
  place: ServicePlace,
  wishes: readonly ExposeWish[],
  { way, filter }: ExposeOptions,
): Promise<Serving> {
  const all = wishes.map((wish) => {
    const { local, protocol = "tcp" } = wish;
    const remote = typeof wish.remote === "string" ? undefined : (wish.remote ?? local);
    if (remote === undefined) throw noName(wish);
    const { port, nobody } = exposedPort(place, wish, remote, { way, filter });
    return { wish, remote, protocol, port, nobody };
  });
  const close = (): void => {
    for (const { port } of all) port.close();
  };
  try {
    for (const { remote, protocol, port } of all) {
      const options = { protocol, filter };
      const taken =
        way === "steal"
          ? place.incoming.steal(remote, port.onConnection, options)
          : place.incoming.mirror(remote, port.onConnection, options);
      await taken.catch((error: unknown) => {
        throw notTaken(remote, way, place.target.name, error);
      });
    }
  } catch (error) {
    close();
    throw error;
  }
  for (const { protocol, port, nobody } of all)
    if (protocol === "tcp" && !(await port.isListening())) nobody();
  const ready = all.map(
    ({ wish, remote, protocol }) =>
      `${way === "steal" ? "what is sent to" : "a copy of what is sent to"} ${protocol === "udp" ? "UDP " : ""}port ${remote} of ${place.wished} comes to 127.0.0.1:${wish.local}`,
  );
  return { ready, close };
}

/** Whether somebody listens is told when it changes, once. */
function exposedPort(
  place: ServicePlace,
  { local, protocol }: ExposeWish,
  remote: number,
  { way, filter }: ExposeOptions,
): { readonly port: ExposedPort; readonly nobody: () => void } {
  let isAnswered: boolean | undefined;
  const nobody = (): void => {
    if (isAnswered === false) return;
    isAnswered = false;
    place.say(
      way === "steal"
        ? `nobody listens on 127.0.0.1:${local}: clients of port ${remote} get an error until somebody does`
        : `nobody listens on 127.0.0.1:${local}: what is sent to port ${remote} is copied to nobody until somebody does`,
    );
  };
  const port = new ExposedPort({
    port: local,
    ...(protocol && { protocol }),
    way,
    isFiltered: filter !== undefined,
    nobodyText: `this request was brought to the machine of ${developerName(place.env)}, where nobody listens on port ${local} (inpod)\n`,
    onNobody: nobody,
    onSomebody: () => {
      if (isAnswered === false) place.say(`127.0.0.1:${local} listens now`);
      isAnswered = true;
    },
  });
  return { port, nobody };
}

const noName = ({ text }: ExposeWish): UserError =>
  new UserError("TARGET_PORT_UNKNOWN", `--expose ${text}: only ports of a cluster have names`, {
    hints: ["say its number: --expose 8080:80"],
  });

function notTaken(port: number, way: "steal" | "mirror", target: string, error: unknown): unknown {
  if (!(error instanceof TunnelFailure)) return error;
  const isHeld = error.errno === "EADDRINUSE";
  return new UserError(
    isHeld ? "TARGET_PORT_HELD" : "TARGET_PORT_NOT_TAKEN",
    `port ${port} of ${target} cannot be ${way === "steal" ? "taken" : "mirrored"}`,
    {
      cause: error,
      hints: isHeld
        ? [
            "who has what: inpod status",
            "several developers share a port, each with a mark of his own: inpod mesh",
          ]
        : ["what an agent may do there: inpod doctor"],
    },
  );
}
