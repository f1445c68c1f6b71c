/** On a real cluster: gRPC behind a Service, whose calls are somebody's by their metadata. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { buildWitness } from "@inpod/sandbox";
import { imageOfFiles } from "./support/images.ts";
import { startInpod } from "./support/inpod.ts";
import {
  apply,
  inventory,
  kubectl,
  onCluster,
  untilInventoryIs,
  waitFor,
} from "./support/kubectl.ts";
import { useNamespace } from "./support/namespace.ts";
import { runPod } from "./support/pods.ts";

const IMAGE = "lab/grpc:1";
const PORT = 50051;

interface Observed {
  readonly Call: string;
  readonly Code: string;
  readonly From: readonly string[] | null;
  readonly Count: number;
}

describe("gRPC filters on a cluster", onCluster, () => {
  const namespace = useNamespace("inpod-grpc");
  const folder = mkdtempSync(join(tmpdir(), "inpod-e2e-"));
  after(() => rmSync(folder, { recursive: true }));

  test("calls through a Service go to the pod or to a developer, each call for itself", async (t) => {
    const witness = await buildWitness("go-grpc");
    if (witness.kind === "missing") return t.skip(witness.why);
    const [program = ""] = witness.argv;
    await imageOfFiles(IMAGE, [program]);
    const server = (name: string): string[] => [program, "server", name, String(PORT)];
    await runPod({ namespace, name: "web", image: IMAGE, command: server("pod") });
    await runPod({ namespace, name: "client", image: IMAGE, command: server("idle") });
    await apply({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace },
      spec: { selector: { app: "web" }, ports: [{ name: "grpc", port: PORT }] },
    });
    const ask = async (user: string): Promise<Observed[]> => {
      const said = await kubectl(
        ...["exec", "client", "-n", namespace, "--", program],
        ...["client", `web:${PORT}`, user],
      );
      return said
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Observed);
    };
    const brief = (all: Observed[]) => all.map(({ Call, Code, Count }) => [Call, Code, Count]);
    const whose = (all: Observed[]) => [...new Set(all.flatMap(({ From }) => From ?? []))];
    const direct = await waitFor("the service to have its pod", async () => {
      // Neither may there be a way to the Service yet.
      const found = await ask("me").catch(() => []);
      return whose(found).join() === "pod" ? found : undefined;
    });
    assert.deepEqual(brief(direct), [
      ["Unary", "", 1],
      ["Unary", "", 1],
      ["Download", "", 50],
      ["Upload", "", 1],
      ["Chat", "", 3],
      ["Fail", "FailedPrecondition", 0],
      ["Wait", "DeadlineExceeded", 0],
      ["Wait", "Canceled", 0],
      ["Missing", "Unimplemented", 0],
    ]);
    const found = await inventory(namespace);

    const incoming = { mode: "steal", http_filter: { header_filter: "^x-user: me$" } };
    const config = join(folder, "inpod.json");
    writeFileSync(config, JSON.stringify({ feature: { network: { incoming } } }));
    const inpod = startInpod(
      ["exec", "-f", config, "-t", "pod/web", "-n", namespace, "--", ...server("dev")],
      { cwd: folder },
    );
    await inpod.says(/requests to port 50051 of the target now arrive .*: header x-user = me/);
    const [mine, others] = await Promise.all([ask("me"), ask("somebody")]);
    assert.deepEqual([whose(mine), whose(others)], [["dev"], ["pod"]]);
    assert.deepEqual([brief(mine), brief(others)], [brief(direct), brief(direct)]);
    inpod.interrupt();
    await inpod.done;
    assert.deepEqual(whose(await ask("me")), ["pod"]);
    await untilInventoryIs(namespace, found);
  });
});
