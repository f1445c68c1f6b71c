/** Node, alone, as a cluster and with threads. */
import { program, type Row, simple } from "../row.ts";

/** @param node the executable; undefined: the one that runs this */
export const nodeRows = (name: string, node: string): readonly Row[] => {
  const row = (suffix: string, file: string, workers?: number): Row =>
    simple({
      name: `${name}${suffix}`,
      recipe: { sources: [program(file), program("facts.mjs")], run: (_, path) => [node, path] },
      version: [node, "--version"],
      ...(workers === undefined ? {} : { workers }),
    });
  return [
    row("", "node-single.mjs"),
    row(", cluster", "node-cluster.mjs", 2),
    row(", worker threads", "node-threads.mjs", 2),
  ];
};
