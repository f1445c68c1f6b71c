/** `--header` and `--path-prefix`, with the names that Telepresence has for them. */
import type { Command } from "commander";
import { hidden } from "../flags.ts";
import { type Header, type Mark, readHeader, readPathPrefix } from "./mark.ts";

export const withMarkFlags = (command: Command): Command =>
  command
    .option(
      "--header <name=value>",
      "only requests with this header; may be given again",
      readHeader,
    )
    .addOption(hidden("--http-header <name=value>").argParser(readHeader))
    .option("--path-prefix <path>", "only requests whose path begins with it", readPathPrefix)
    .addOption(hidden("--http-path-prefix <path>").argParser(readPathPrefix));

/** Undefined: none of them was given. */
export function readMarkFlags(options: Record<string, unknown>): Mark | undefined {
  const { header = [], httpHeader = [], pathPrefix, httpPathPrefix } = options;
  const headers = [...(header as Header[]), ...(httpHeader as Header[])];
  const path = (pathPrefix ?? httpPathPrefix) as string | undefined;
  return headers.length === 0 && path === undefined ? undefined : { headers, pathPrefix: path };
}
