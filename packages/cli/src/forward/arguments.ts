/** The words of `inpod forward`. */
import { UserError } from "@inpod/protocol";
import { Command } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { as } from "../flags.ts";
import {
  readServiceFlags,
  type ServiceArguments,
  withServiceFlags,
  withTakingFlags,
} from "../services/arguments.ts";
import { type ExposeWish, eachOnce } from "../services/expose.ts";
import { isSamePort, type LocalForward, readLocal, readOperands, readRemote } from "./spec.ts";

export interface ForwardArguments extends ServiceArguments {
  readonly kind: "forward";
  /** Undefined: the configuration's, or none. */
  readonly target: string | undefined;
  readonly locals: readonly LocalForward[];
  readonly remotes: readonly ExposeWish[];
}

const WHAT =
  "Ports of this machine become ports of whatever a target reaches, and ports of a target ports of this machine. " +
  "Each connection of yours leaves from the target, and names are looked up there, each time anew. " +
  "Without -t they leave from a pod of inpod's own in the namespace, which is gone at the end.";

const EXAMPLES = `
-L LOCAL:HOST:PORT   connections to your port LOCAL go to HOST, a name or address, as the target sees it.
                     Left out: LOCAL is PORT, HOST the target itself. Before LOCAL: the address to listen at
                     (without: this machine's loopback alone).
-R REMOTE:LOCAL      what is sent to port REMOTE of the target comes to your port LOCAL, in the target's place.
/udp behind either is a UDP port. Both may be given again, or be lists with commas.

Examples:
  inpod forward -L 5432:postgres:5432 -n shop
  inpod forward orders 8080:80
  inpod forward deployment/orders 9229
  inpod forward -t deployment/orders -L 6379:redis.cache:6379 -R 80:8080
  inpod forward -L 5353:10.96.0.10:53/udp

Ctrl-C ends it, with exit code 0. docs/forward.md`;

export const forwardSyntax: CommandSyntax<ForwardArguments> = {
  define: () =>
    withTakingFlags(
      withServiceFlags(
        new Command("forward")
          .alias("port-forward")
          .summary("ports here for what the target reaches, and the other way round")
          .description(WHAT)
          .usage("[flags] [SERVICE|ADDRESS|TARGET [LOCAL_PORT:]PORT…]")
          .argument("[ports...]")
          .option(
            "-t, --target <target>",
            "from where: KIND/NAME[/container/NAME], label/KEY=VALUE, targetless or process/PID",
            as("target"),
          )
          .option(
            "-L <[address:][port:]host:port,…>",
            "your port, and to what its connections go",
            readLocal,
          )
          .option(
            "-R <[remote:]local,…>",
            "a port of the target, and yours to which its connections come",
            readRemote,
          ),
      ),
    ).addHelpText("after", EXAMPLES),
  read: (options, operands) => {
    const { target, locals } = readOperands(operands);
    const said = options.target as string | undefined;
    if (target !== undefined && said !== undefined) throw twoTargets(target, said);
    const all = [...locals, ...((options.L ?? []) as readonly LocalForward[])];
    const remotes = (options.R ?? []) as readonly ExposeWish[];
    if (all.length === 0 && remotes.length === 0) throw nothing();
    eachOnce("-R", remotes);
    const twice = all.find((each, at) => all.slice(0, at).some((other) => isSamePort(each, other)));
    if (twice !== undefined) throw saidTwice(twice);
    return {
      kind: "forward",
      ...readServiceFlags(options),
      target: target ?? said,
      locals: all,
      remotes,
    };
  },
};

const twoTargets = (one: string, other: string): UserError =>
  new UserError("USAGE_INVALID", `from ${one} or from ${other}?`, {
    hints: ["to reach one from the other: inpod forward -t TARGET -L LOCAL:HOST:PORT"],
  });

const nothing = (): UserError =>
  new UserError("USAGE_INVALID", "inpod forward needs ports", {
    hints: [
      "yours, and to what its connections go: inpod forward -L 8080:orders:80",
      "a Service's: inpod forward orders 8080:80",
      "a target's that come here: inpod forward -t deployment/orders -R 80:8080",
    ],
  });

const saidTwice = ({ localPort, text }: LocalForward): UserError =>
  new UserError("USAGE_INVALID", `port ${localPort} of this machine is to go to two places`, {
    hints: [`"${text}" is the second`],
  });
