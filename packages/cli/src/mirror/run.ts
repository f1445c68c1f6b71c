/** `inpod mirror`: copies of what is sent to a Service come to ports of this machine. */
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { runCopies } from "../services/copies.ts";
import { exposeText } from "../services/expose.ts";
import { expose } from "../services/exposed-ports.ts";
import { markWords } from "../services/mark.ts";
import { meantPorts } from "../services/meant-ports.ts";
import type { MirrorArguments } from "./arguments.ts";

/** @throws UserError */
export const runMirror = (args: MirrorArguments, io: Io): Promise<CommandResult> =>
  runCopies(
    {
      args,
      io,
      question: "of whose traffic are copies wanted?",
      does: "copies to another machine what is sent to",
      detail: exposeText(args.expose),
    },
    async ({ target, signal }) => {
      const { mark, expose: wishes } = args;
      const ports = await meantPorts(target, wishes, signal, { isMarked: mark !== undefined });
      return (place) =>
        expose(place, ports, {
          way: "mirror",
          filter: place.config.layer.incoming.httpFilter?.filter,
          marked: mark && markWords(mark),
        });
    },
  );
