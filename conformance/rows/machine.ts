/** The rows whose runtimes scripts/prepare.sh has on the machine: `npm test` runs them. */
import { installed } from "../install.ts";
import type { Group } from "../row.ts";
import { curl, git } from "./clients.ts";
import { compiledRows } from "./compiled.ts";
import { grpcRows } from "./grpc.ts";
import { javaRows } from "./java.ts";
import { nginx } from "./nginx.ts";
import { nodeRows } from "./node.ts";
import { pythonRows } from "./python.ts";

export const machineGroups: readonly Group[] = [
  { rows: nodeRows("Node", () => installed([process.execPath])) },
  { rows: pythonRows },
  { rows: compiledRows },
  { rows: javaRows },
  { rows: grpcRows },
  { rows: [nginx, curl] },
  { rows: [git], config: { skip_build_tools: false } },
];
