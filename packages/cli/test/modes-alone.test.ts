/** Service modes need Node and nothing else of this machine: what only `exec` needs is taken away. */
import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK, type Sandbox, startSandbox } from "@inpod/sandbox";
import { build } from "esbuild";
import { CLI, endRuns, Inventory } from "./exec-support.ts";
import { type DevServer, startMode, startServer } from "./services-support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** By entry point: what is loaded when the command runs. */
const MODES: Readonly<Record<string, string>> = {
  exchange: "exchange/run.ts",
  mesh: "mesh/run.ts",
  mirror: "mirror/run.ts",
  dump: "dump/run.ts",
  forward: "forward/run.ts",
};
/** What the target `process/PID` needs of the agent's machine, which here is this one. */
const OF_THE_AGENT = /^(agent|inpod-enter$)/;
const OF_NODE = /^cli(-[A-Z0-9]+)?\.js$/;
/** Packages that only Linux has, or that load a `.node` file. */
const LINUX = /^packages\/(layer|tap|files|routes)\//;

let sandbox: Sandbox;
let inventory: Inventory;
let server: DevServer;
let folder: string;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "inpod-alone-"));
  for (const name of readdirSync(dirname(CLI)))
    if (OF_NODE.test(name) || OF_THE_AGENT.test(name))
      cpSync(join(dirname(CLI), name), join(folder, name), { recursive: true });
  sandbox = await startSandbox();
  inventory = await Inventory.of(sandbox);
  server = await startServer(sandbox);
});
after(async () => {
  await server?.stop();
  await sandbox?.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(endRuns);

test("exchange, mesh, mirror and dump run without any .node file, launcher, preload library, tap and file server", async () => {
  const { httpPort } = NETWORK.pod;
  assert.deepEqual(
    readdirSync(folder).filter((name) => /\.(node|so)$|launch|keeper|jobs|mount|^files/.test(name)),
    [],
  );
  const answersItself = new Set(["mirror", "dump"]);
  for (const mode of ["exchange", "mesh", "mirror", "dump"]) {
    const run = startMode(
      sandbox,
      mode,
      [
        ...(mode === "dump" ? ["-p", `${httpPort}`] : ["--expose", `${server.http}:${httpPort}`]),
        ...(mode === "mesh" ? ["--version-mark", "me"] : []),
      ],
      { cli: join(folder, "cli.js") },
    );
    await run.said("until Ctrl-C", "stderr");
    const { body } = await sandbox.request({ path: `/${mode}`, headers: { version: "me" } });
    if (mode === "dump") await run.said("GET /dump HTTP/1.1");
    else await server.run.said(`request GET /${mode}`);
    assert.match(body, answersItself.has(mode) ? /^I am the pod/ : /^I am here/);
    run.signalGroup("SIGINT");
    assert.equal((await run.ended).code, 0, run.stderr);
  }
  await inventory.assertAsBefore();
});

test("no module on their path is one of Linux", async () => {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [
      "packages/cli/src/main.ts",
      ...Object.values(MODES).map((path) => `packages/cli/src/${path}`),
    ],
    outdir: folder,
    bundle: true,
    metafile: true,
    write: false,
    splitting: true,
    platform: "node",
    format: "esm",
    mainFields: ["module", "main"],
    logLevel: "error",
  });
  for (const entry of ["main.ts", ...Object.values(MODES)]) {
    const seen = new Set([`packages/cli/src/${entry}`]);
    for (const path of seen)
      for (const { path: imported, kind, external } of metafile.inputs[path]?.imports ?? [])
        if (kind !== "dynamic-import" && external !== true) seen.add(imported);
    assert.ok(seen.size > 5, `${entry}: ${seen.size} modules`);
    assert.deepEqual(
      [...seen].filter((path) => LINUX.test(path)),
      [],
      entry,
    );
  }
  // The check sees what it is to see.
  assert.ok(Object.keys(metafile.inputs).some((path) => LINUX.test(path)));
});
