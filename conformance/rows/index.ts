/** All rows, in the table's order. */
import type { Group } from "../row.ts";
import { machineGroups } from "./machine.ts";

export const groups: readonly Group[] = [...machineGroups];
