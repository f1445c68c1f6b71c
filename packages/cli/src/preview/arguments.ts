/** The words of `inpod preview`. */
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import {
  readExposeFlag,
  readServiceFlags,
  type ServiceArguments,
  withExpose,
  withServiceFlags,
} from "../services/arguments.ts";
import { neededExpose } from "../services/expose.ts";
import { neededName, type PreviewPort, previewPorts } from "./ports.ts";

export interface PreviewArguments extends ServiceArguments {
  readonly kind: "preview";
  readonly name: string;
  readonly ports: readonly PreviewPort[];
  readonly isExternal: boolean;
}

const WHAT =
  "Makes a new Service in the cluster whose requests ports of this machine answer: for something that is not deployed yet. " +
  "The Service, and the pod that it leads to, go with the session.";

const EXAMPLES = `
LOCAL is your port, REMOTE the Service's; LOCAL alone is both. TCP, and so HTTP/1, HTTP/2 and gRPC.
It does not matter whether your server runs yet: until it does, clients get an error at once.

Examples:
  inpod preview orders-v2 --expose 8080:80
  inpod preview orders-v2 -n shop --expose 8080:80,9000 --external

Ctrl-C ends it, with exit code 0. A Service of that name that is there already is left alone: see inpod exchange.`;

export const previewSyntax: CommandSyntax<PreviewArguments> = {
  define: () =>
    withExpose(
      withServiceFlags(
        new Command("preview")
          .summary("a new Service in the cluster that ports of this machine answer")
          .description(WHAT)
          .usage("[flags] NAME --expose LOCAL[:REMOTE],…")
          .argument("[name]"),
      ),
    )
      .option("--external", "with an address outside of the cluster too (type LoadBalancer)")
      .option("-y, --yes", "in a protected context too, without being asked")
      .addHelpText("after", EXAMPLES),
  read: (options, [name]) => ({
    kind: "preview",
    ...readServiceFlags(options),
    name: neededName(name),
    ports: previewPorts(neededExpose("preview", readExposeFlag(options))),
    isExternal: options.external === true,
  }),
};
