/** Node, alone, as a cluster and with threads. */
import type { Tool } from "../install.ts";
import { followedBy, program, type Row, simple } from "../row.ts";

export const nodeRows = (name: string, node: () => Promise<Tool>): readonly Row[] => {
  const row = (suffix: string, file: string, workers: number): Row =>
    simple({
      name: `${name}${suffix}`,
      tool: async () => followedBy(await node(), program(file)),
      workers,
    });
  return [
    row("", "node-single.mjs", 1),
    row(", cluster", "node-cluster.mjs", 2),
    row(", worker threads", "node-threads.mjs", 2),
  ];
};
