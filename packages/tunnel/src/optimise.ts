import { setFlagsFromString } from "node:v8";

/** Of 67,584 (bytecodes before V8 looks at a function, which it does three times): Node 20. */
const BUDGET = ["--interrupt-budget=10000"];
/** Of 3000 and 400: Node 22 and later, where calls are counted. */
const CALLS = ["--invocation-count-for-turbofan=500", "--invocation-count-for-maglev=80"];
/** V8's major version of Node 22. */
const COUNTS_CALLS = 12;

/**
 * For a process that relays; call once, at its beginning. V8 compiles a function well when it has run for long, by the
 * measure of programs that compute. Here a connection runs each function of its way once or twice, and thousands of them
 * went by in slow code, which is more than most sessions have.
 */
export function optimiseSoon(): void {
  const counts = Number.parseInt(process.versions.v8, 10) >= COUNTS_CALLS;
  for (const flag of counts ? CALLS : BUDGET) setFlagsFromString(flag);
}
