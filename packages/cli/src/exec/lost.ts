/** What becomes of the user's process when its session is lost for good: `on_disconnect`. */
import { UserError } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Progress } from "../text/progress.ts";
import { remainingProcesses } from "./tree.ts";

/** From the request to end until it is no request any more. */
const STOP_MS = 5000;

export interface EndWithSession {
  /** @throws UserError SESSION_LOST when the tree was ended because of it: its exit code means nothing then */
  throwIfStopped(): void;
}

/** Tells of the loss, and ends the tree if it is to end. */
export function endWithSession(
  session: Session,
  sessionId: string,
  onDisconnect: "stop" | "continue",
  progress: Progress,
): EndWithSession {
  let stoppedBy: string | undefined;
  void session.lost.then((why) => {
    const what =
      onDisconnect === "stop"
        ? "Your process is ended"
        : "Your process goes on, new connections of it fail";
    progress.say(
      `inpod: the session is lost for good: ${why}. ${what} (on_disconnect: "${onDisconnect}"); the target answers its own requests again.`,
    );
    if (onDisconnect === "continue") return;
    stoppedBy = why;
    signalTree(sessionId, "SIGTERM");
    setTimeout(() => signalTree(sessionId, "SIGKILL"), STOP_MS).unref();
  });
  return {
    throwIfStopped: () => {
      if (stoppedBy !== undefined) throw sessionLost(stoppedBy);
    },
  };
}

function signalTree(sessionId: string, signal: NodeJS.Signals): void {
  const { near, daemons } = remainingProcesses(sessionId);
  for (const { pid } of [...near, ...daemons]) {
    try {
      process.kill(pid, signal);
      // A stopped process cannot end itself.
      if (signal === "SIGTERM") process.kill(pid, "SIGCONT");
    } catch {
      // It has ended.
    }
  }
}

const sessionLost = (why: string): UserError =>
  new UserError("SESSION_LOST", `the session was lost: ${why}`, {
    hints: [
      'to let your process go on without it: {"on_disconnect": "continue"} in the configuration',
    ],
  });
