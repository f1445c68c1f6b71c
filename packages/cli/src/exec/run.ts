/** `inpod exec`: a session beside the target, and the command in the target's place. */
import { tuneForRelaying } from "@inpod/session";
import type { CommandResult } from "../result.ts";
import type { Progress } from "../text/progress.ts";
import { Elsewhere } from "./elsewhere.ts";
import { endWithSession, portHeld, TreeEnd } from "./lost.ts";
import { inPlace, type Place, type PlaceWish } from "./place.ts";
import { untilTreeEnds } from "./rest.ts";
import type { Signals } from "./signals.ts";
import { stoppable } from "./stoppable.ts";

export interface ExecOptions extends PlaceWish {
  /** As the user wrote it: argv of the program. */
  readonly command: readonly [string, ...string[]];
  /** Absolute path of the program. */
  readonly executable: string;
}

/** Runs the command in the place of its target and undoes everything when it has ended. */
export function runExec(options: ExecOptions): Promise<CommandResult> {
  tuneForRelaying({ mayGrow: true });
  return stoppable(options.io, (progress, signals) =>
    inPlace(options, progress, signals, (place) => runInPlace(options, place, progress, signals)),
  );
}

async function runInPlace(
  { config, command, executable }: ExecOptions,
  { tap, options, session, incoming, sessionId }: Place,
  progress: Progress,
  signals: Signals,
): Promise<CommandResult> {
  const end = new TreeEnd(sessionId);
  const elsewhere = new Elsewhere(sessionId, options.reporter.notice);
  const tree = await tap.start({
    ...options,
    command,
    executable,
    reporter: {
      ...options.reporter,
      portHeld: (_, because) => end.stop(portHeld(because)),
      program: (pid, executable) => elsewhere.program(pid, executable),
    },
  });
  endWithSession(session, end, config.onDisconnect, progress);
  const result = await signals.follow(tree, incoming);
  await untilTreeEnds(tree, sessionId, signals, progress);
  signals.hasEnded();
  await tree.close();
  end.throwIfStopped();
  return result;
}
