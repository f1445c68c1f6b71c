/** `inpod connect`: a command, a proxy, or the whole machine in the cluster's network. */

import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import type { ConnectArguments } from "./arguments.ts";
import { chooseMode, mayBeRoutes } from "./mode.ts";

/** @throws UserError */
export async function runConnect(args: ConnectArguments, io: Io): Promise<CommandResult> {
  const { platform } = process;
  const isRoot = process.getuid?.() === 0;
  // Nothing native is looked at where it is not needed for the choice.
  const canAsk = mayBeRoutes(args) && platform === "linux" && isRoot;
  const noRoutes = canAsk ? await (await import("@inpod/routes")).routesPossible() : undefined;
  const chosen = chooseMode(args, { platform, isRoot, noRoutes });
  switch (chosen.kind) {
    case "command":
      // Loaded only here: all else needs neither Linux nor anything native.
      return (await import("./command.ts")).runCommand(args, io);
    case "proxy":
      return (await import("./proxy.ts")).runProxy(args, io, chosen.why);
    case "routes":
      return (await import("./routes.ts")).runRoutes(args, io, chosen.why);
  }
}
