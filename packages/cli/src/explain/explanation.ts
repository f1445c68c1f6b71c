/** What `inpod explain` says about one subject. */
import type { Change } from "./change.ts";
import type { Origin } from "./origin.ts";

export interface Answer {
  /** What is done with it: "read", "write", "tcp", "listen" … */
  readonly about: string;
  /** As a trace and --verbose have it: "remote", "local", "not-found", "take", "native", "skipped" … */
  readonly verdict: string;
  /** For people: "the pod's", "this machine's". */
  readonly words: string;
  readonly why: string;
  /** The key that decided, or changes it. */
  readonly key?: string | undefined;
  /** Who has set that key. */
  readonly origin?: Origin | undefined;
  readonly changes: readonly Change[];
}

export interface Explanation {
  /** As it was asked. */
  readonly subject: string;
  readonly kind: "path" | "host" | "listen" | "variable" | "program" | "unix";
  readonly answers: readonly Answer[];
  /** What follows from it, and what else to know. */
  readonly notes: readonly string[];
  /** What there is on this machine. */
  readonly here: readonly string[];
  /** What the target says; empty without one. */
  readonly pod: readonly string[];
  /** Without a target: what would depend on it. */
  readonly depends: readonly string[];
}
