/** All rows, in the table's order. */
import type { Row } from "../row.ts";
import { machineGroups } from "./machine.ts";

export const groups: readonly (readonly Row[])[] = [...machineGroups];
