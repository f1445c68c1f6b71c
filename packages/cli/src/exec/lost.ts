/** What becomes of the user's process when its session is lost for good: `on_disconnect`. */
import { UserError } from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Progress } from "../text/progress.ts";
import { remainingProcesses, signalProcesses } from "./tree.ts";

/** From the request to end until it is no request any more. */
const STOP_MS = 5000;

/** Ends the user's process for a reason of ours, once. */
export class TreeEnd {
  readonly #sessionId: string;
  #because: UserError | undefined;

  constructor(sessionId: string) {
    this.#sessionId = sessionId;
  }

  /** Not waited for. */
  stop(because: UserError): void {
    if (this.#because !== undefined) return;
    this.#because = because;
    signalTree(this.#sessionId, "SIGTERM");
    setTimeout(() => signalTree(this.#sessionId, "SIGKILL"), STOP_MS).unref();
  }

  /** @throws the reason for which the tree was ended: its exit code means nothing then */
  throwIfStopped(): void {
    if (this.#because !== undefined) throw this.#because;
  }
}

/** Ends all that has come into a session, and waits for it. */
export async function endPrograms(
  sessionId: string,
  ends: readonly Promise<void>[],
): Promise<void> {
  signalTree(sessionId, "SIGTERM");
  const kill = setTimeout(() => signalTree(sessionId, "SIGKILL"), STOP_MS);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, 2 * STOP_MS);
  });
  await Promise.race([Promise.all(ends), late]);
  clearTimeout(kill);
  clearTimeout(timer);
}

/** Tells of the loss, and ends the tree if it is to end. */
export function endWithSession(
  session: Session,
  end: TreeEnd,
  onDisconnect: "stop" | "continue",
  progress: Progress,
): void {
  void session.lost.then((why) => {
    const what =
      onDisconnect === "stop"
        ? "Your process is ended"
        : "Your process goes on, new connections of it fail";
    progress.say(
      `inpod: the session is lost for good: ${why}. ${what} (on_disconnect: "${onDisconnect}"); the target answers its own requests again.`,
    );
    if (onDisconnect === "stop") end.stop(sessionLost(why));
  });
}

export function signalTree(sessionId: string, signal: NodeJS.Signals): void {
  const { near, daemons } = remainingProcesses(sessionId);
  signalProcesses([...near, ...daemons], signal);
}

/** `on_concurrent_steal: "abort"` */
export const portHeld = (because: string): UserError =>
  new UserError("TARGET_PORT_HELD", `your process was ended: ${because}`, {
    hints: [
      "who has what: inpod status",
      "with filters that do not meet, several developers share a port: docs/http-filters.md",
      'to take it over, or to go on without it: {"feature": {"network": {"incoming": {"on_concurrent_steal": "override"}}}}, or "continue"',
    ],
  });

export const sessionLost = (why: string): UserError =>
  new UserError("SESSION_LOST", `the session was lost: ${why}`, {
    hints: [
      'to let your process go on without it: {"on_disconnect": "continue"} in the configuration',
    ],
  });
