/** The words of `inpod connect`. */
import { isIP } from "node:net";
import { UserError } from "@inpod/protocol";
import { Command, InvalidArgumentError, Option } from "commander";
import type { CommandSyntax } from "../arguments.ts";
import { as } from "../flags.ts";
import {
  readServiceFlags,
  type ServiceArguments,
  withServiceFlags,
} from "../services/arguments.ts";

import { type RouteFlags, readRouteFlags, routeFlagSaid, withRouteFlags } from "./route-flags.ts";

export const CONNECT_MODES = ["proxy", "routes"] as const;
export type ConnectMode = (typeof CONNECT_MODES)[number];

export const PROXY_FORMATS = ["shell", "fish", "powershell", "json"] as const;
export type ProxyFormat = (typeof PROXY_FORMATS)[number];

export interface ConnectArguments extends ServiceArguments {
  readonly kind: "connect";
  /** Undefined: a pod of inpod's own. */
  readonly target: string | undefined;
  /** Undefined: whichever this machine can have. */
  readonly mode: ConnectMode | undefined;
  /** Where the proxy listens; undefined: the usual one, or a free one. */
  readonly port: number | undefined;
  /** An IP literal; undefined: loopback. */
  readonly address: string | undefined;
  /** How its variables are printed; undefined: they are not. */
  readonly format: ProxyFormat | undefined;
  readonly routes: RouteFlags;
  /** Of whom every connection is the cluster's. Empty: there is none. */
  readonly command: readonly string[];
}

const WHAT =
  "Brings this machine, or one program, into the cluster's network: Services and pods have their names and addresses, and what connects leaves from a pod. " +
  "With a command it is that one and all that it starts (Linux). " +
  "Without one it is a proxy for SOCKS5 and HTTP on 127.0.0.1, for which no right on this machine is needed; as root on Linux it is routes for the whole machine, and the cluster's names. " +
  "Files, variables, host name and what is sent to this machine stay as they are.";

const EXAMPLES = `
Names without a dot are those of the namespace (-n); service.namespace is another one's. With -t the network is that
pod's own view, with its network policies and its loopback.

Examples:
  inpod connect -n shop -- bash
  inpod connect -n shop -- curl http://orders/health
  inpod connect -n shop
  inpod connect --port 1080 --format json
  sudo -E inpod connect -n shop --exclude 10.9.0.0/16

Ctrl-C ends proxy and routes, with exit code 0; a command ends by itself. docs/connect.md, docs/connect-routes.md`;

export const connectSyntax: CommandSyntax<ConnectArguments> = {
  define: () =>
    withServiceFlags(
      withRouteFlags(
        new Command("connect")
          .summary("this machine, or one command, in the cluster's network")
          .description(WHAT)
          .usage("[flags] [-- COMMAND [ARGUMENT…]]")
          .argument("[command...]")
          .passThroughOptions()
          .option(
            "-t, --target <target>",
            "whose network: KIND/NAME, label/KEY=VALUE or process/PID (default: a pod of inpod's own)",
            as("target"),
          )
          .addOption(
            new Option(
              "--mode <mode>",
              "a proxy, or routes and names for the whole machine (root)",
            ).choices(CONNECT_MODES),
          )
          .option(
            "--port <number>",
            "the proxy's, of SOCKS5 and HTTP (default: 1080, or a free one)",
            readPort,
          )
          .option("--address <address>", "where it listens (default: 127.0.0.1)", readAddress)
          .addOption(
            new Option("--format <format>", "print the variables by which programs use it").choices(
              PROXY_FORMATS,
            ),
          ),
      ),
    ).addHelpText("after", EXAMPLES),
  read: (options, command) => {
    const mode = options.mode as ConnectMode | undefined;
    const { port, address } = options as { port?: number; address?: string };
    const format = options.format as ProxyFormat | undefined;
    const routes = readRouteFlags(options);
    const ofRoutes = routeFlagSaid(routes);
    const said = [
      ...(mode === undefined ? [] : ["--mode"]),
      ...(port === undefined ? [] : ["--port"]),
      ...(address === undefined ? [] : ["--address"]),
      ...(format === undefined ? [] : ["--format"]),
    ];
    const [first] = said;
    if (command.length > 0 && first !== undefined) throw notOfCommand(first);
    const proxys = said.find((flag) => flag !== "--mode");
    if (mode === "routes" && proxys !== undefined) throw notOfRoutes(proxys);
    if (ofRoutes !== undefined && (mode === "proxy" || proxys !== undefined || command.length > 0))
      throw ofRoutesOnly(ofRoutes);
    return {
      kind: "connect",
      ...readServiceFlags(options),
      target: options.target as string | undefined,
      ...{ mode, port, address, format, routes, command },
    };
  },
  usageHint: "a flag of your command comes after it: inpod connect [flags] -- COMMAND --its-flag",
};

function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65_535) throw new InvalidArgumentError("a port is 0 (any) to 65535.");
  return port;
}

function readAddress(text: string): string {
  if (text === "localhost") return "127.0.0.1";
  if (isIP(text) === 0) throw new InvalidArgumentError("an address of this machine is needed.");
  return text;
}

const notOfCommand = (flag: string): UserError =>
  new UserError("USAGE_INVALID", `${flag} is for inpod connect without a command`, {
    hints: ["a command needs no proxy: its connections are the cluster's"],
  });

const notOfRoutes = (flag: string): UserError =>
  new UserError("USAGE_INVALID", `${flag} is of the proxy, and --mode routes has none`, {
    hints: ["leave one of the two out"],
  });

const ofRoutesOnly = (flag: string): UserError =>
  new UserError("USAGE_INVALID", `${flag} is of routes, which a proxy or a command has none of`, {
    hints: ["for the whole machine, as root: inpod connect --mode routes"],
  });
