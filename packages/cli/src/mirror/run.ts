/** `inpod mirror`: copies of what is sent to a Service come to ports of this machine. */
import { UserError } from "@inpod/protocol";
import { whyNoMirror } from "../exec/permission.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { exposeText } from "../services/expose.ts";
import { expose } from "../services/exposed-ports.ts";
import { withoutFilter } from "../services/incoming.ts";
import { markWords, withMark } from "../services/mark.ts";
import { meantPorts } from "../services/meant-ports.ts";
import { runService } from "../services/with-service.ts";
import type { MirrorArguments } from "./arguments.ts";

/** @throws UserError */
export function runMirror(args: MirrorArguments, io: Io): Promise<CommandResult> {
  const { mark } = args;
  const wish = {
    args,
    io,
    target: args.target,
    question: "of whose traffic are copies wanted?",
    steals: false,
    needsTraffic: true,
    does: "copies to another machine what is sent to",
    detail: exposeText(args.expose),
    adjust: (config: Parameters<typeof withoutFilter>[0]) =>
      mark === undefined ? withoutFilter(config) : withMark(config, mark),
  };
  return runService(wish, async ({ target, signal }) => {
    const why = whyNoMirror(target.policy);
    if (why !== undefined) throw new UserError("POLICY_NO_MIRROR", why);
    const ports = await meantPorts(target, args.expose, signal, { isMarked: mark !== undefined });
    return (place) =>
      expose(place, ports, {
        way: "mirror",
        filter: place.config.layer.incoming.httpFilter?.filter,
        marked: mark && markWords(mark),
      });
  });
}
