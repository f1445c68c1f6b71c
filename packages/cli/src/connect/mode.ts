/** How `inpod connect` connects. Pure. */
import type { ConnectArguments, ConnectMode } from "./arguments.ts";

export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  /** Why this inpod or machine cannot have routes; undefined: it can. */
  readonly noRoutes: string | undefined;
}

export type Chosen =
  | { readonly kind: "command" }
  | { readonly kind: ConnectMode; readonly why: string | undefined };

/** @returns `why`: told to whoever did not choose himself */
export function chooseMode(
  { command, mode, port, address, format }: ConnectArguments,
  { platform, isRoot, noRoutes }: Machine,
): Chosen {
  if (command.length > 0) return { kind: "command" };
  if (mode !== undefined) return { kind: mode, why: undefined };
  if (port !== undefined || address !== undefined || format !== undefined)
    return { kind: "proxy", why: undefined };
  if (platform !== "linux") return { kind: "proxy", why: "routes are for Linux" };
  if (!isRoot) return { kind: "proxy", why: "routes for the whole machine need root" };
  if (noRoutes !== undefined) return { kind: "proxy", why: `no routes: ${noRoutes}` };
  return { kind: "routes", why: "as root: routes for the whole machine (--mode proxy: none)" };
}
