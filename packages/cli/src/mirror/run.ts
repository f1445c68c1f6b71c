/** `inpod mirror`: copies of what is sent to a Service come to ports of this machine. */
import { UserError } from "@inpod/protocol";
import { whyNoMirror } from "../exec/permission.ts";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { exposeText } from "../services/expose.ts";
import { expose } from "../services/exposed-ports.ts";
import { withoutFilter } from "../services/incoming.ts";
import { markWords, withMark } from "../services/mark.ts";
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
    does: "copies to another machine what is sent to",
    detail: exposeText(args.expose),
    adjust: (config: Parameters<typeof withoutFilter>[0]) =>
      mark === undefined ? withoutFilter(config) : withMark(config, mark),
  };
  return runService(wish, (place) => {
    const why = whyNoMirror(place.target.policy);
    if (why !== undefined) throw new UserError("POLICY_NO_MIRROR", why);
    return expose(place, args.expose, {
      way: "mirror",
      filter: place.config.layer.incoming.httpFilter?.filter,
      marked: mark && markWords(mark),
    });
  });
}
