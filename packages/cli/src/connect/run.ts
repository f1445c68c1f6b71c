/** `inpod connect`: a command, a proxy, or the whole machine in the cluster's network. */

import { UserError } from "@inpod/protocol";
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { ConnectArguments } from "./arguments.ts";
import { chooseMode } from "./mode.ts";

const NO_ROUTES = "this version has none";

/** @throws UserError */
export async function runConnect(args: ConnectArguments, io: Io): Promise<CommandResult> {
  const chosen = chooseMode(args, {
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    noRoutes: NO_ROUTES,
  });
  switch (chosen.kind) {
    case "command":
      // Loaded only here: all else needs neither Linux nor anything native.
      return (await import("./command.ts")).runCommand(args, io);
    case "proxy":
      return (await import("./proxy.ts")).runProxy(args, io, chosen.why);
    case "routes":
      throw noRoutes();
  }
}

const noRoutes = (): UserError =>
  new UserError("USAGE_NOT_YET", "--mode routes is not supported yet", {
    hints: ["a proxy, for programs that can use one: inpod connect --mode proxy"],
  });
