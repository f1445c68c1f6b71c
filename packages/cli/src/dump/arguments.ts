/** The words of `inpod dump`. */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { hidden } from "../flags.ts";
import {
  readServiceFlags,
  readTarget,
  type ServiceArguments,
  withReplicas,
  withServiceFlags,
  withTarget,
} from "../services/arguments.ts";
import type { Mark } from "../services/mark.ts";
import { readMarkFlags, withMarkFlags } from "../services/mark-flags.ts";
import { type DumpPort, readDumpPorts } from "./ports.ts";

export const FORMATS = ["text", "json", "har"] as const;
export type Format = (typeof FORMATS)[number];

export interface DumpArguments extends ServiceArguments {
  readonly kind: "dump";
  /** Undefined: the configuration's target. */
  readonly target: string | undefined;
  /** Empty: those that the target names. */
  readonly ports: readonly DumpPort[];
  readonly output: Format;
  /** Undefined: stdout. */
  readonly file: string | undefined;
  readonly maxBodyBytes: number;
  readonly showSecrets: boolean;
  /** Undefined: all of it. */
  readonly mark: Mark | undefined;
}

const DEFAULT_BODY = 4096;
const MOST_BODY = 16 * 1024 * 1024;

const WHAT =
  "Prints what clients send to a Service, workload or pod, as it comes: requests of HTTP/1, HTTP/2 and gRPC with their headers and bodies, and bytes of anything else, TCP and UDP. " +
  "The pods answer as always, and nothing of it is changed; answers are not seen.";

const EXAMPLES = `
Of a connection that begins later everything is seen. TLS cannot be read by others, and is said so.
Values of authorization, cookie, proxy-authorization and x-api-key are "(hidden)" without --show-secrets.

Examples:
  inpod dump orders
  inpod dump deployment/orders -p 8080 --path-prefix /api
  inpod dump pod/dns-0 -p 53/udp
  inpod dump orders --output json | jq -r 'select(.kind == "request") | .target'
  inpod dump orders --output har --file orders.har

Ctrl-C ends it, with exit code 0.`;

export const dumpSyntax: CommandSyntax<DumpArguments> = {
  define: () =>
    withMarkFlags(
      withReplicas(
        withTarget(
          withServiceFlags(
            new Command("dump")
              .summary("print what is sent to a target")
              .description(WHAT)
              .usage("[flags] TARGET [-p PORT]…")
              .option(
                "-p, --ports <port[/udp],…>",
                "by number or name; may be given again. Without it: those that the target names",
                readDumpPorts,
              )
              .addOption(hidden("--port <port>").argParser(readDumpPorts))
              .addOption(
                new Option("-o, --output <format>", "text; json: an object a line; har: HAR 1.2")
                  .choices(FORMATS)
                  .default("text"),
              )
              .option("--file <file>", "write there, not to stdout; only its owner may read it")
              .option(
                "--max-body <size>",
                "of each body, and of bytes that come at once: 0, 4096, 64k, 1m (default: 4k)",
                readSize,
              )
              .option("--show-secrets", "show the values of headers that are secrets"),
          ),
        ),
      ),
    ).addHelpText("after", EXAMPLES),
  read: (options, [operand]) => {
    const all = [options.ports, options.port] as (readonly DumpPort[] | undefined)[];
    const file = options.file as string | undefined;
    return {
      kind: "dump",
      ...readServiceFlags(options),
      target: readTarget("dump", options, operand),
      ports: all.flatMap((ports) => ports ?? []),
      output: options.output as Format,
      file: file === undefined ? undefined : resolve(file),
      maxBodyBytes: (options.maxBody as number | undefined) ?? DEFAULT_BODY,
      showSecrets: options.showSecrets === true,
      mark: readMarkFlags(options),
    };
  },
};

function readSize(text: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,9})([km]?)(?:i?b)?$/i.exec(text) ?? [];
  const size =
    Number(digits) * { "": 1, k: 1024, m: 1024 * 1024 }[unit.toLowerCase() as "" | "k" | "m"];
  if (digits === "" || size > MOST_BODY) throw new InvalidArgumentError("0 to 16m bytes");
  return size;
}
