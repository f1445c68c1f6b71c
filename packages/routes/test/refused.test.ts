/** What is refused changes nothing of the machine. In a network namespace of its own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const START = `
  import { networkInterfaces } from "node:os";
  const { startRoutes } = await import(process.argv[1]);
  const place = { path: process.argv[2] + "/resolv.conf", directory: process.argv[2] + "/journal" };
  const wish = { found: [], include: ["198.18.0.0/16"], exclude: [], never: [] };
  const quiet = () => {};
  const start = (resolvConf) =>
    startRoutes({ session: {}, wish, resolvConf, say: quiet, log: quiet, place });
  const links = () => Object.keys(networkInterfaces()).filter((name) => /^inpod/.test(name)).length;
  console.log(await start("search cluster.local\\n").catch(({ code }) => code), links());
  const routes = await start(undefined);
  console.log(links());
  await routes.close();
  process.exit();`;

test("a target without a name server is refused before there is a link, or a route", {
  skip: process.geteuid?.() !== 0 && "needs root",
  timeout: 120_000,
}, (t) => {
  const folder = mkdtempSync(join(tmpdir(), "inpod-routes-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "resolv.conf"), "nameserver 192.0.2.53\n");
  const module = new URL("../src/index.ts", import.meta.url).href;
  const node = [process.execPath, "--import", "tsx", "--input-type=module", "-e", START];
  const { stdout, stderr } = spawnSync("unshare", ["--net", ...node, module, folder], {
    encoding: "utf8",
  });
  assert.equal(stdout, "DNS_NOT_SPLIT 0\n1\n", stderr);
});
