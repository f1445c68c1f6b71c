/** The flags of `inpod connect --mode routes`, under the names that others have for them, too. */
import type { Command } from "commander";
import { hidden } from "../flags.ts";

export interface RouteFlags {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  /** Whether the cluster's names are this machine's. */
  readonly dns: boolean;
}

const list = (text: string, before: readonly string[] = []): string[] => [
  ...before,
  ...text.split(",").filter((each) => each !== ""),
];

/** ktctl's and Telepresence's. */
const ALIASES = {
  include: ["--include-ips", "--includeIps", "--also-proxy"],
  exclude: ["--exclude-ips", "--excludeIps", "--never-proxy"],
} as const;

export function withRouteFlags(command: Command): Command {
  command
    .option("--include <cidr,…>", "routes: more subnets of the cluster", list)
    .option("--exclude <cidr,…>", "routes: subnets that stay this machine's", list)
    .option("--no-dns", "routes: no names of the cluster, and no change of this machine's DNS");
  for (const flag of Object.values(ALIASES).flat())
    command.addOption(hidden(`${flag} <cidr,…>`).argParser(list));
  return command;
}

export function readRouteFlags(options: Record<string, unknown>): RouteFlags {
  const said = (...names: string[]): string[] =>
    names.flatMap((name) => (options[name] as string[] | undefined) ?? []);
  return {
    include: said("include", "includeIps", "alsoProxy"),
    exclude: said("exclude", "excludeIps", "neverProxy"),
    dns: options.dns !== false,
  };
}

/** The first of them that was given. */
export const routeFlagSaid = ({ include, exclude, dns }: RouteFlags): string | undefined =>
  include.length > 0
    ? "--include"
    : exclude.length > 0
      ? "--exclude"
      : dns
        ? undefined
        : "--no-dns";
