/**
 * How a command with a session ends by signals. The first one ends its start, or what stands, and all is undone; with the
 * next Ctrl-C nothing is waited for any more: what is left in the cluster then ends by itself.
 */
import type { Io } from "../io.ts";
import type { CommandResult } from "../result.ts";
import { createProgress, type Progress } from "../text/progress.ts";
import { Signals } from "./signals.ts";

/** An end that takes longer is explained. */
const LONG_END_MS = 2_000;

/** @throws what `run` does, unless a signal has ended its start */
export async function stoppable(
  io: Io,
  run: (progress: Progress, signals: Signals) => Promise<CommandResult>,
): Promise<CommandResult> {
  const progress = createProgress(io);
  const signals = new Signals();
  let timer: NodeJS.Timeout | undefined;
  const atOnce = new Promise<CommandResult>((resolve) => {
    signals.listen({
      first: () => {
        timer = setTimeout(() => progress.say(STILL_ENDING), LONG_END_MS);
      },
      again: (signal) => {
        progress.say(NOT_WAITED_FOR);
        resolve({ signal });
      },
    });
  });
  const running = run(progress, signals);
  try {
    return await Promise.race([running, atOnce]);
  } catch (error) {
    progress.failed();
    if (signals.stoppedBy) return { signal: signals.stoppedBy };
    throw error;
  } finally {
    running.catch(() => {}); // told, or of no interest any more
    clearTimeout(timer);
    signals.close();
  }
}

const STILL_ENDING = "inpod: still undoing what was made; Ctrl-C again does not wait for it";
const NOT_WAITED_FOR =
  "inpod: ended without waiting: an agent that is left ends by itself within two minutes, and gives the target its traffic back before; later, inpod verify tells whether anything is left";
