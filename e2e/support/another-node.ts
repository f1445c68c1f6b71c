/** Where agents without a target run: on another node than the pod that they are to reach. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kubectl } from "./kubectl.ts";

const folder = mkdtempSync(join(tmpdir(), "inpod-node-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Flags, for a command that takes a configuration. Who is killed has left the cluster after some seconds. */
export async function awayFrom(namespace: string, pod: string): Promise<readonly string[]> {
  const get = (what: string, path: string): Promise<string> =>
    kubectl("get", what, "-n", namespace, "-o", `jsonpath=${path}`);
  const [nodes, node] = await Promise.all([
    get("nodes", "{.items[*].metadata.name}"),
    get(`pod/${pod}`, "{.spec.nodeName}"),
  ]);
  const other = nodes.split(" ").find((name) => name !== node);
  const file = join(folder, `${namespace}.json`);
  const selector = other === undefined ? {} : { "kubernetes.io/hostname": other };
  const patience = { idle_timeout: 2, resume_timeout: 3 };
  writeFileSync(file, JSON.stringify({ agent: { node_selector: selector, ...patience } }));
  return ["-f", file];
}
