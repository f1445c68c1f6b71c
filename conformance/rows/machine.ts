/** The rows whose runtimes scripts/prepare.sh has on the machine: `npm test` runs them. */
import type { Row } from "../row.ts";
import { compiledRows } from "./compiled.ts";
import { javaRows } from "./java.ts";
import { nodeRows } from "./node.ts";
import { pythonRows } from "./python.ts";

/** Each group shares a session. */
export const machineGroups: readonly (readonly Row[])[] = [
  nodeRows("Node", process.execPath),
  pythonRows,
  compiledRows,
  javaRows,
];
