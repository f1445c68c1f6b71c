/** What happens to the session and its target while a service mode lasts, in words. */
import type { SessionEvent } from "@inpod/protocol";
import { tellEvent } from "../exec/follow.ts";
import type { Progress } from "../text/progress.ts";

/** Where no process has the target's files and variables, its restarts mean less. */
export function tellServiceEvent(event: SessionEvent, progress: Progress): void {
  switch (event.kind) {
    case "target-back":
      progress.say("inpod: the target's container restarted");
      return;
    case "target-moved":
      progress.say(`inpod: the target is pod ${event.hostname} now`);
      return;
    case "probes-taken":
      progress.say(
        "inpod: this agent is too old to leave the pod's probes to the pod: on ports that are taken your port answers them",
      );
      return;
    default:
      tellEvent(event, progress);
  }
}
