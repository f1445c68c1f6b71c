/** The words of `inpod exchange`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import {
  readExposeFlag,
  readServiceFlags,
  readTarget,
  type ServiceArguments,
  withExpose,
  withServiceFlags,
  withTakingFlags,
  withTarget,
} from "../services/arguments.ts";
import { type ExposeWish, neededExpose } from "../services/expose.ts";

export interface ExchangeArguments extends ServiceArguments {
  readonly kind: "exchange";
  /** Undefined: the configuration's target. */
  readonly target: string | undefined;
  readonly expose: readonly ExposeWish[];
}

const WHAT =
  "Brings all that is sent to a Service, or to a workload or pod, to ports of this machine: its ready pods' traffic, those of later rollouts too. " +
  "The workload is neither changed nor restarted; when it ends, the pods answer again. " +
  "No program runs in the pod's place: for its environment, files and network there is inpod exec.";

const EXAMPLES = `
LOCAL is your port, REMOTE that of the Service (of a workload or pod: the pod's), a number or a name. LOCAL alone
stands for the port of the same number, or for the only one. A name without a kind is a Service.
It does not matter whether your server runs yet: until it does, clients get an error at once.

Examples:
  inpod exchange orders --expose 8080:80
  inpod exchange orders -n shop --expose 8080:http,9000:metrics
  inpod exchange deployment/dns --expose 5353:53/udp

Ctrl-C ends it, with exit code 0.`;

export const exchangeSyntax: CommandSyntax<ExchangeArguments> = {
  define: () =>
    withExpose(
      withTakingFlags(
        withTarget(
          withServiceFlags(
            new Command("exchange")
              .alias("intercept")
              .summary("bring all of a Service's traffic to ports of this machine")
              .description(WHAT)
              .usage("[flags] SERVICE --expose LOCAL[:REMOTE],…"),
          ),
        ),
      ),
    ).addHelpText("after", EXAMPLES),
  read: (options, [target]) => ({
    kind: "exchange",
    ...readServiceFlags(options),
    target: readTarget("exchange", options, target),
    expose: neededExpose("exchange", readExposeFlag(options)),
  }),
};
