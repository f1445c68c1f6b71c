/** `inpod exchange`: all of a Service's traffic comes to ports of this machine. */
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { exposeText } from "../services/expose.ts";
import { expose } from "../services/exposed-ports.ts";
import { withoutFilter } from "../services/incoming.ts";
import { meantPorts } from "../services/meant-ports.ts";
import { runService } from "../services/with-service.ts";
import type { ExchangeArguments } from "./arguments.ts";

/** @throws UserError */
export const runExchange = (args: ExchangeArguments, io: Io): Promise<CommandResult> =>
  runService(
    {
      args,
      io,
      target: args.target,
      question: "whose traffic is to come here?",
      steals: true,
      needsTraffic: true,
      does: "brings to another machine what is sent to",
      detail: exposeText(args.expose),
      adjust: withoutFilter,
    },
    async ({ target, signal }) => {
      const ports = await meantPorts(target, args.expose, signal);
      return (place) => expose(place, ports, { way: "steal" });
    },
  );
