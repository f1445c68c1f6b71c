/** A finding and what provokes it. */
import type { Finding } from "../../src/doctor/finding.ts";

export interface Case {
  /** A sentence about the situation. */
  readonly when: string;
  readonly findings: () => readonly Finding[];
  readonly id: string;
  readonly level: Finding["level"];
  /** In what, why or a hint. */
  readonly says: RegExp;
}
