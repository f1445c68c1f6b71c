/** `inpod init` on a terminal, with a real cluster to choose from. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { apply, kubectl, noCluster } from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { workload } from "./support/workloads.ts";

const cli = fileURLToPath(new URL("../bin/inpod", import.meta.url));
const noScript =
  spawnSync("script", ["--version"]).status === 0 ? false : "needs script(1) of util-linux";

describe("inpod init", { skip: noCluster || noScript, timeout: 180_000 }, () => {
  const namespace = useNamespace("inpod-init");
  const folder = mkdtempSync(join(tmpdir(), "inpod-init-"));
  after(() => rmSync(folder, { recursive: true }));

  before(async () => {
    await apply(
      workload("Deployment", namespace, "orders", { labels: { app: "orders" } }, { replicas: 1 }),
      workload("Deployment", namespace, "idle", { labels: { app: "idle" } }, { replicas: 0 }),
    );
    await kubectl(
      ...["wait", "--for=condition=Available", "deployment/orders", "-n", namespace],
      "--timeout=90s",
    );
  });

  test("offers what can be a target now, takes its number, and writes a configuration that is good", async () => {
    const dialogue: [question: RegExp, typed: string][] = [
      [/Namespace .*: /, `${namespace}\r`],
      [/Whose place .*: /, "1\r"],
      [/\[y\/N\] /, "y\r"],
    ];
    const child = spawn("script", ["-qfec", `${cli} init`, "/dev/null"], {
      cwd: folder,
      timeout: 60_000,
    });
    let seen = "";
    let all = "";
    child.stdout.on("data", (bytes: Buffer) => {
      seen += bytes.toString();
      all += bytes.toString();
      const [next] = dialogue;
      if (next === undefined || !next[0].test(seen)) return;
      dialogue.shift();
      seen = "";
      child.stdin.write(next[1]);
    });
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 0, all);
    assert.match(all, / {2}1 {2}deployment\/orders\r?\n/);
    assert.doesNotMatch(all, /deployment\/idle/);
    const text = readFileSync(join(folder, ".inpod/inpod.json"), "utf8");
    assert.match(
      text,
      new RegExp(`"target": \\{ "path": "deployment/orders", "namespace": "${namespace}" \\}`),
    );
    const verified = spawnSync(cli, ["verify-config"], { cwd: folder, encoding: "utf8" });
    assert.equal(verified.stdout, ".inpod/inpod.json is good\n", verified.stderr);
  });
});
