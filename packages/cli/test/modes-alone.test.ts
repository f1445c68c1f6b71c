/** Service modes need Node and nothing else of this machine: what only `exec` needs is taken away. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { NETWORK } from "@inpod/sandbox";
import { build } from "esbuild";
import { startCli } from "./exec-support.ts";
import { copyOfDist } from "./own-dist.ts";
import { startMode, useServices, useSteps } from "./services-support.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
/** By entry point: what is loaded when the command runs. */
const MODES: Readonly<Record<string, string>> = {
  exchange: "exchange/run.ts",
  mesh: "mesh/run.ts",
  mirror: "mirror/run.ts",
  dump: "dump/run.ts",
  forward: "forward/run.ts",
  preview: "preview/run.ts",
  connect: "connect/run.ts",
  "connect by proxy": "connect/proxy.ts",
  status: "status/run.ts",
  leave: "leave/run.ts",
  up: "up/run.ts",
};
/** Packages that only Linux has, or that load a `.node` file. */
const LINUX = /^packages\/(layer|tap|files|routes)\//;

const { sandbox, inventory, server } = await useServices();
const folder = copyOfDist();
after(() => rmSync(folder, { recursive: true, force: true }));

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

test("forward and the proxy of connect do, too", async () => {
  const cli = join(folder, "cli.js");
  const beside = ["-t", `process/${sandbox.pid}`];
  const forward = startCli(sandbox, ["forward", ...beside, "-L", "0:greetings:80"], { cli });
  const connect = startCli(sandbox, ["connect", ...beside, "--mode", "proxy", "--port", "0"], {
    cli,
  });
  for (const run of [forward, connect]) await run.said("until Ctrl-C", "stderr");
  const [, forwarded] = /inpod: \S+:(\d+) goes to/.exec(forward.stderr) ?? [];
  const [, proxy] = /listens on \S+?:(\d+)\n/.exec(connect.stderr) ?? [];
  const greetings = { host: "greetings", port: 80 };
  const send = "GET / HTTP/1.1\r\nHost: greetings\r\nConnection: close\r\n\r\n";
  const steps = await useSteps(
    sandbox,
    { do: "http", port: Number(forwarded), path: "/" },
    { do: "socks", port: Number(proxy), to: greetings, send },
  );
  for (const { text = "" } of steps) assert.match(text, /greetings to /);
  for (const run of [forward, connect]) {
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
    assert.ok(seen.size > 2, `${entry}: ${seen.size} modules`);
    assert.deepEqual(
      [...seen].filter((path) => LINUX.test(path)),
      [],
      entry,
    );
  }
  // The check sees what it is to see.
  assert.ok(Object.keys(metafile.inputs).some((path) => LINUX.test(path)));
});
