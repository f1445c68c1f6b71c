/** The words of `inpod mesh`. */
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
import { type Header, type Mark, readVersionMark } from "../services/mark.ts";
import { readMarkFlags, withMarkFlags } from "../services/mark-flags.ts";
import { noRequests } from "../services/meant-ports.ts";

export interface MeshArguments extends ServiceArguments {
  readonly kind: "mesh";
  /** Undefined: the configuration's target. */
  readonly target: string | undefined;
  readonly expose: readonly ExposeWish[];
  /** Undefined: the user's own. */
  readonly mark: Mark | undefined;
  /** What came in TLS goes on without it. */
  readonly isPlain: boolean;
}

const WHAT =
  "Brings only marked requests of a Service, or of a workload or pod, to ports of this machine; all others go to the pods, untouched. " +
  "Each request is decided by itself: HTTP/1, HTTP/2 and gRPC. " +
  "Several developers have the same Service at once, each with a mark of their own.";

const EXAMPLES = `
Without a flag the mark is the header VERSION with a value made of your login name: it is printed, with a curl line that
has it. Services between pass it on if they copy that header from each request to those that they make for it.

Examples:
  inpod mesh orders --expose 8080:80
  inpod mesh orders --expose 8080:80 --version-mark alice
  inpod mesh orders --expose 8080:80 --version-mark x-tenant:acme
  inpod mesh orders --expose 8080:http --header x-user=me --path-prefix /api/orders

Ctrl-C ends it, with exit code 0.`;

export const meshSyntax: CommandSyntax<MeshArguments> = {
  define: () =>
    withMarkFlags(
      withExpose(
        withTakingFlags(
          withTarget(
            withServiceFlags(
              new Command("mesh")
                .summary("bring marked requests of a Service to ports of this machine")
                .description(WHAT)
                .usage("[flags] SERVICE --expose LOCAL[:REMOTE],…"),
            ),
          ),
        ),
      ),
    )
      .option(
        "--version-mark <[key:]value>",
        "the header (default: VERSION) and its value (default: made of your name)",
        readVersionMark,
      )
      .option("--plaintext", "your port gets what was inside TLS, and not TLS again")
      .addHelpText("after", EXAMPLES),
  read: (options, [target]) => {
    const expose = neededExpose("mesh", readExposeFlag(options));
    const udp = expose.find(({ protocol }) => protocol === "udp");
    if (udp !== undefined) throw noRequests("--expose", udp);
    const version = options.versionMark as Header | undefined;
    const said = readMarkFlags(options);
    const headers = [...(version === undefined ? [] : [version]), ...(said?.headers ?? [])];
    const isSaid = version !== undefined || said !== undefined;
    return {
      kind: "mesh",
      ...readServiceFlags(options),
      target: readTarget("mesh", options, target),
      expose,
      mark: isSaid ? { headers, pathPrefix: said?.pathPrefix } : undefined,
      isPlain: options.plaintext === true,
    };
  },
};
