import { constants } from "node:os";

/** Node does not let these through with their default action: it ignores the first and opens its debugger on the second. */
const NOT_OURS_TO_RAISE: readonly NodeJS.Signals[] = ["SIGPIPE", "SIGUSR1"];
const RAISE_TIMEOUT_MS = 1000;

/** Ends as the command ended, so that a shell or a supervisor above sees the same. */
export function endBy(signal: NodeJS.Signals): void {
  // What a shell reports for it.
  const code = 128 + constants.signals[signal];
  if (NOT_OURS_TO_RAISE.includes(signal)) process.exit(code);
  process.removeAllListeners(signal);
  setTimeout(() => process.exit(code), RAISE_TIMEOUT_MS);
  process.kill(process.pid, signal);
}
