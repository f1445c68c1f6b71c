/**
 * Builds what we ship into dist/: the CLI, the agent, and the C programs beside them.
 * A part whose sources are not newer than its output is left alone.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { compilerArguments, NATIVE, under } from "./native.ts";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
process.chdir(root);
const began = new Date();
let hasBuilt = false;
mkdirSync("dist", { recursive: true });

const newest = (paths: string[]): number =>
  Math.max(0, ...paths.map((path) => statSync(path).mtimeMs));
const isStale = (output: string, sources: string[]): boolean =>
  !existsSync(output) || statSync(output).mtimeMs < newest(sources);

const self = ["scripts/build.ts", "scripts/native.ts"];
const scripts = [...new Set(readdirSync("packages"))]
  .filter((name) => existsSync(`packages/${name}/src`))
  .flatMap((name) => under(`packages/${name}/src`))
  .concat(...self, "package-lock.json");

/**
 * The Kubernetes client's package.json does not say that its modules only define things. Of its 14 MB of models and
 * clients we use none, but all would be bundled, and parsed at every start.
 */
const pureKubernetesClient: Plugin = {
  name: "pure-kubernetes-client",
  setup({ onResolve, resolve }) {
    const ours = "@kubernetes/client-node";
    onResolve({ filter: /^\.|^@kubernetes\/client-node$/ }, async (imported) => {
      const { path, importer, resolveDir, kind, pluginData } = imported;
      if (pluginData === ours || (path !== ours && !importer.includes(ours))) return undefined;
      const found = await resolve(path, { importer, resolveDir, kind, pluginData: ours });
      return { ...found, sideEffects: false };
    });
  },
};

for (const [entry, output] of [
  ["packages/cli/src/main.ts", "dist/cli.js"],
  ["packages/files/src/main.ts", "dist/files.js"],
  ["packages/agent/src/main.ts", "dist/agent.js"],
] as const) {
  if (!existsSync(entry) || !isStale(output, scripts)) continue;
  const name = basename(output, ".js");
  for (const old of readdirSync("dist")) if (old.startsWith(`${name}-`)) rmSync(join("dist", old));
  await build({
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    // What is loaded by import() stays in files of its own.
    splitting: true,
    plugins: [pureKubernetesClient],
    // Some packages' "main" is UMD, whose require() calls cannot be bundled.
    mainFields: ["module", "main"],
    sourcemap: "linked",
    legalComments: "linked",
    // CommonJS dependencies call require() for Node's own modules.
    banner: {
      js: "import { createRequire as __inpodRequire } from 'node:module'; const require = __inpodRequire(import.meta.url);",
    },
    entryPoints: { [name]: entry },
    outdir: "dist",
    chunkNames: `${name}-[hash]`,
  });
  hasBuilt = true;
}

for (const part of NATIVE) {
  const { folder, sources, shares } = part;
  const output = `dist/${part.name}`;
  const main = join(folder, sources);
  if (!existsSync(main)) continue;
  if (!isStale(output, [...under(folder), ...(shares === undefined ? [] : under(shares)), ...self]))
    continue;
  // Written aside and renamed: a running program's file cannot be overwritten.
  execFileSync("cc", compilerArguments(part, `${output}.new`), { stdio: "inherit" });
  renameSync(`${output}.new`, output);
  hasBuilt = true;
}

// bin/inpod builds again what is newer than this: a file saved during the build is.
try {
  writeFileSync("dist/.built", "");
  utimesSync("dist/.built", began, began);
} catch (error) {
  // Somebody else's checkout, in which nothing is due: tests as an ordinary user in root's.
  const { code } = error as NodeJS.ErrnoException;
  if (hasBuilt || (code !== "EACCES" && code !== "EROFS")) throw error;
}
