/** The flags of `inpod connect --mode routes`. */
import type { Command } from "commander";

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

export const withRouteFlags = (command: Command): Command =>
  command
    .option("--include <cidr,…>", "routes: more subnets of the cluster", list)
    .option("--exclude <cidr,…>", "routes: subnets that stay this machine's", list)
    .option("--no-dns", "routes: no names of the cluster, and no change of this machine's DNS");

export const readRouteFlags = (options: Record<string, unknown>): RouteFlags => ({
  include: (options.include as string[] | undefined) ?? [],
  exclude: (options.exclude as string[] | undefined) ?? [],
  dns: options.dns !== false,
});

/** The first of them that was given. */
export const routeFlagSaid = ({ include, exclude, dns }: RouteFlags): string | undefined =>
  include.length > 0
    ? "--include"
    : exclude.length > 0
      ? "--exclude"
      : dns
        ? undefined
        : "--no-dns";
