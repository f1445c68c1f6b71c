/** One thing that is there, or has changed, and what to think of it. */
export interface Finding {
  readonly where: "cluster" | "machine";
  readonly what: string;
  /** `other`: changed since, and not by inpod as far as it can be seen. */
  readonly verdict: "left" | "exception" | "held" | "unknown" | "other";
  readonly why: string;
}
