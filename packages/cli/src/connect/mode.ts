/** How `inpod connect` connects. Pure. */
import type { ConnectArguments, ConnectMode } from "./arguments.ts";
import { routeFlagSaid } from "./route-flags.ts";

export interface Machine {
  readonly platform: NodeJS.Platform;
  readonly isRoot: boolean;
  /** Why this inpod or machine cannot have routes; undefined: it can. */
  readonly noRoutes: string | undefined;
}

export type Chosen =
  | { readonly kind: "command" }
  | { readonly kind: ConnectMode; readonly why: string | undefined };

/** Nothing was said that is only of another mode. */
export const mayBeRoutes = ({ command, mode, port, address, format }: ConnectArguments): boolean =>
  command.length === 0 &&
  mode === undefined &&
  port === undefined &&
  address === undefined &&
  format === undefined;

/** @returns `why`: told to whoever did not choose himself */
export function chooseMode(
  args: ConnectArguments,
  { platform, isRoot, noRoutes }: Machine,
): Chosen {
  const { command, mode, routes } = args;
  if (command.length > 0) return { kind: "command" };
  if (mode !== undefined) return { kind: mode, why: undefined };
  // With a flag that only they have, what refuses them is an error, and no reason for something else.
  if (routeFlagSaid(routes) !== undefined) return { kind: "routes", why: undefined };
  if (!mayBeRoutes(args)) return { kind: "proxy", why: undefined };
  if (platform !== "linux") return { kind: "proxy", why: "routes are for Linux" };
  if (!isRoot) return { kind: "proxy", why: "routes for the whole machine need root" };
  if (noRoutes !== undefined) return { kind: "proxy", why: `no routes: ${noRoutes}` };
  return { kind: "routes", why: "as root: routes for the whole machine (--mode proxy: none)" };
}
