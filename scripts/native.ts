/** What we ship in C, and how it is compiled: for this machine by build.ts, for another one by a test. */
import { readdirSync } from "node:fs";
import { join } from "node:path";

export interface NativePart {
  /** In dist/. */
  readonly name: string;
  /** Where its headers are. */
  readonly folder: string;
  /** Of the folder. */
  readonly sources: string;
  readonly flags: readonly string[];
  /** Where headers are that several parts have. */
  readonly shares?: string;
}

const warnings = "-std=gnu11 -O2 -Wall -Wextra -Werror -fvisibility=hidden".split(" ");
// Node-API is stable across Node versions: one compiler call, no node-gyp, one binary for all.
const addon = [
  ...warnings,
  "-shared",
  "-fPIC",
  "-pthread",
  "-Inode_modules/node-api-headers/include",
];
const program = [...warnings, "-static"];
/** What both ends of the tunnel do. */
const shares = "packages/tunnel/native";
// Loads beside any libc: it has none of its own, and what a compiler would have a libc for is left out.
const preloaded = [
  ...warnings,
  "-shared",
  "-fPIC",
  "-ffreestanding",
  "-fno-stack-protector",
  "-nostdlib",
  "-Wl,-Bsymbolic,-z,now,-z,noexecstack,--hash-style=both",
];

export const NATIVE: readonly NativePart[] = [
  { name: "tap.node", folder: "packages/tap/native", sources: "addon", flags: addon, shares },
  { name: "inpod-launch", folder: "packages/tap/native", sources: "launch", flags: program },
  { name: "inpod-keeper", folder: "packages/tap/native", sources: "keeper", flags: program },
  { name: "inpod-jobs", folder: "packages/tap/native", sources: "jobs", flags: program },
  {
    name: "inpod-preload.so",
    folder: "packages/tap/native",
    sources: "preload",
    flags: preloaded,
  },
  { name: "files.node", folder: "packages/files/native", sources: "addon", flags: addon },
  { name: "inpod-mount", folder: "packages/files/native", sources: "mount", flags: program },
  { name: "inpod-routes", folder: "packages/routes/native", sources: "routes", flags: program },
  {
    name: "inpod-enter",
    folder: "packages/agent/native",
    sources: "enter",
    flags: program,
    shares,
  },
];

/** Of a C compiler that is run in the root of the checkout. */
export function compilerArguments(
  { folder, sources, flags, shares }: NativePart,
  output: string,
): string[] {
  const files = under(join(folder, sources)).filter((path) => path.endsWith(".c"));
  const included = [folder, ...(shares === undefined ? [] : [shares])].map((path) => `-I${path}`);
  return [...flags, ...included, "-o", output, ...files];
}

export const under = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
