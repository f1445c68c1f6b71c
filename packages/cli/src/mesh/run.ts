/** `inpod mesh`: marked requests of a Service come to ports of this machine, all others go to the pods. */
import { hostname } from "node:os";
import { UserError } from "@inpod/protocol";
import { loadDelivery } from "../exec/tls.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { developerName } from "../services/developer.ts";
import { exposeText } from "../services/expose.ts";
import { expose } from "../services/exposed-ports.ts";
import { curlLine, defaultMark, type Mark, markWords, withMark } from "../services/mark.ts";
import { meantPorts } from "../services/meant-ports.ts";
import { runService } from "../services/with-service.ts";
import type { MeshArguments } from "./arguments.ts";

/** @throws UserError */
export function runMesh(args: MeshArguments, io: Io): Promise<CommandResult> {
  const own = defaultMark(developerName(io.env), hostname());
  const mark = args.mark ?? { headers: [own], pathPrefix: undefined };
  const wish = {
    args,
    io,
    target: args.target,
    question: "whose marked requests are to come here?",
    steals: true,
    needsTraffic: true,
    does: "brings to another machine marked requests to",
    detail: exposeText(args.expose),
    adjust: (config: Parameters<typeof withMark>[0]) => withMark(config, mark),
  };
  return runService(wish, async ({ target, config, signal }) => {
    const ports = await meantPorts(target, args.expose, signal, { isMarked: true });
    const delivery = loadDelivery(config.tls.delivery, io.directory);
    const tls = args.isPlain ? ({ ...delivery, protocol: "tcp" } as const) : delivery;
    return async (place) => {
      const { httpFilter } = config.layer.incoming;
      const serving = await expose(place, ports, {
        way: "steal",
        filter: httpFilter?.filter,
        tls,
        marked: markWords(mark),
        held: (port, cause) => heldBy(mark, port, cause),
      });
      const [{ address = "" } = {}] = serving.ports;
      return { ...serving, ready: [...serving.ready, ...advice(mark, address)] };
    };
  });
}

function advice(mark: Mark, address: string): string[] {
  const names = mark.headers.map(({ name }) => name);
  return [
    `try it in the cluster: ${curlLine(mark, address)}`,
    ...(names.length === 0
      ? []
      : [
          `through other services: each must copy ${names.join(" and ")} from a request to those that it makes for it`,
        ]),
  ];
}

const heldBy = (mark: Mark, port: string, cause: Error): UserError =>
  new UserError(
    "TARGET_PORT_HELD",
    `requests with ${markWords(mark)} to ${port} are somebody else's`,
    {
      cause,
      hints: ["take a mark of your own: --version-mark NAME", "who has what: inpod status"],
    },
  );
