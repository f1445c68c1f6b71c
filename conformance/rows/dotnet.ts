/**
 * .NET's runtime, of which PyPI has version 3.1, with a program that Mono's compiler makes against its assemblies: newer
 * ones, and .NET's own compiler, are in no registry that is used here.
 */
import { chmod, readdir } from "node:fs/promises";
import { join } from "node:path";
import { fromPyPI, fromSystem, type Tool } from "../install.ts";
import { compiledBy, type Group, NO_RESOLVER, program, simple } from "../row.ts";

const ASSEMBLIES = [
  ...[
    "System.Private.CoreLib",
    "System.Private.Uri",
    "System.Runtime",
    "System.Runtime.Extensions",
  ],
  ...[
    "System.Net.Http",
    "System.Net.Sockets",
    "System.Net.Primitives",
    "System.Net.NameResolution",
  ],
  ...["System.IO.FileSystem", "System.Console", "System.Diagnostics.Process", "System.Linq"],
  ...["System.ComponentModel.Primitives", "Microsoft.Win32.Primitives"],
];

async function dotnet(): Promise<Tool> {
  const compiler = await fromSystem(["mono-mcs"], ["mcs"]);
  if (compiler.kind === "missing") return compiler;
  const found = await fromPyPI("python3", ["dotnetcore2"]);
  if (found.kind === "missing") return found;
  const root = join(found.folder, "dotnetcore2/bin");
  const host = join(root, "dotnet");
  await chmod(host, 0o755);
  const shared = join(root, "shared/Microsoft.NETCore.App");
  const [version = ""] = await readdir(shared);
  const references = ASSEMBLIES.map((name) => `-r:${join(shared, version, name)}.dll`);
  return compiledBy([host, "--list-runtimes"], {
    sources: [program("Facts.cs")],
    compile: ([path = ""]) => [
      ...["mcs", "-noconfig", "-nostdlib", ...references, "-out:program.dll", "-target:exe", path],
    ],
    run: (built) => [
      ...[host, "exec", "--runtimeconfig", program("dotnet.runtimeconfig.json")],
      join(built, "program.dll"),
    ],
  });
}

export const dotnetGroup: Group = {
  rows: [
    simple({
      name: ".NET",
      tool: dotnet,
      without: NO_RESOLVER,
    }),
  ],
};
