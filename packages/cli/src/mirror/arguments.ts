/** The words of `inpod mirror`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import {
  readExposeFlag,
  readServiceFlags,
  readTarget,
  type ServiceArguments,
  withExpose,
  withReplicas,
  withServiceFlags,
  withTarget,
} from "../services/arguments.ts";
import { type ExposeWish, neededExpose } from "../services/expose.ts";
import type { Mark } from "../services/mark.ts";
import { readMarkFlags, withMarkFlags } from "../services/mark-flags.ts";
import { noRequests } from "../services/meant-ports.ts";

export interface MirrorArguments extends ServiceArguments {
  readonly kind: "mirror";
  /** Undefined: the configuration's target. */
  readonly target: string | undefined;
  readonly expose: readonly ExposeWish[];
  /** Undefined: all of it is copied. */
  readonly mark: Mark | undefined;
}

const WHAT =
  "Copies what clients send to a Service, or to a workload or pod, to ports of this machine. " +
  "The pods answer them, at their own speed; what your port answers goes nowhere. " +
  "To read what comes without a server: inpod dump.";

const EXAMPLES = `
Of a connection that begins later everything is copied. TLS cannot be read by others, and is said so.

Examples:
  inpod mirror orders --expose 8080:80
  inpod mirror deployment/orders --expose 8080:http --path-prefix /api/orders
  inpod mirror pod/dns-0 --expose 5353:53/udp

Ctrl-C ends it, with exit code 0.`;

export const mirrorSyntax: CommandSyntax<MirrorArguments> = {
  define: () =>
    withMarkFlags(
      withExpose(
        withReplicas(
          withTarget(
            withServiceFlags(
              new Command("mirror")
                .alias("wiretap")
                .summary("copy what is sent to a Service to ports of this machine")
                .description(WHAT)
                .usage("[flags] SERVICE --expose LOCAL[:REMOTE],…"),
            ),
          ),
        ),
      ),
    ).addHelpText("after", EXAMPLES),
  read: (options, [target]) => {
    const expose = neededExpose("mirror", readExposeFlag(options));
    const mark = readMarkFlags(options);
    const udp = expose.find(({ protocol }) => protocol === "udp");
    if (mark !== undefined && udp !== undefined) throw noRequests("--expose", udp);
    return {
      kind: "mirror",
      ...readServiceFlags(options),
      target: readTarget("mirror", options, target),
      expose,
      mark,
    };
  },
};
