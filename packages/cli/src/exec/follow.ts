/** What happens to the session and to its target while the command runs, in words, and what follows from it. */
import { setTimeout as delay } from "node:timers/promises";
import type {
  MirrorMissed,
  PodPort,
  SessionEvent,
  TlsUntouched,
  UdpDropped,
} from "@inpod/protocol";
import type { Session } from "@inpod/session";
import type { Target, TargetObserver } from "@inpod/targets";
import type { Progress } from "../text/progress.ts";

/** Names of variables in one line. */
const MAX_NAMES = 10;
/** The API server and this machine have enough to do until the program runs. */
const FOLLOW_AFTER_MS = 1_000;

const portWord = ({ port, protocol }: PodPort): string =>
  protocol === "udp" ? `UDP port ${port}` : `port ${port}`;

export function tellEvent(event: SessionEvent, progress: Progress): void {
  switch (event.kind) {
    case "connected":
    case "stolen":
    case "mirrored":
    case "leave-asked": // told where it is done
    case "agent-gone": // told by whoever looks for another one
      return;
    case "tunnel-lost":
      progress.say(
        `inpod: the connection to the agent is lost (${event.why}): open connections are reset, the target answers its own requests until it is back`,
      );
      return;
    case "reconnecting":
      if (event.attempt === 1) progress.say("inpod: reconnecting");
      return;
    case "resumed":
      progress.say("inpod: the connection to the agent is back");
      return;
    case "steal-lost":
      progress.say(`inpod: ${portWord(event)} is no longer taken: ${event.detail}`);
      return;
    case "steal-waits":
      progress.say(
        `inpod: ${portWord(event)} is not taken yet: ${event.detail}; it is asked for again for ${event.seconds} s, as it may be the agent from before`,
      );
      return;
    case "steal-back":
      progress.say(`inpod: ${portWord(event)} is taken again`);
      return;
    case "connections-kept":
      progress.say(
        `inpod: connections to port ${event.port} from before stay with the target: ${event.detail}`,
      );
      return;
    case "probes-taken":
      progress.say(
        "inpod: this agent is too old to leave the pod's probes to the pod: on ports that are stolen your process answers them",
      );
      return;
    case "mirror-lost":
      progress.say(`inpod: ${portWord(event)} is no longer mirrored: ${event.detail}`);
      return;
    case "mirror-missed":
      progress.say(missedLine(event));
      return;
    case "tls-untouched":
      progress.say(tlsLine(event));
      return;
    case "udp-dropped":
      progress.say(droppedLine(event));
      return;
    case "target-gone":
      progress.say(`inpod: the target does not run: ${event.detail}`);
      return;
    case "target-back":
      progress.say("inpod: the target's container restarted; its files are those of the new one");
      if (event.changed.length > 0) progress.say(changedVariables(event.changed));
      return;
    case "target-moved":
      progress.say(
        `inpod: the target is pod ${event.hostname} now: its files, network and clients; host name and variables of your process stay as they were`,
      );
      if (event.changed.length > 0) progress.say(changedVariables(event.changed));
  }
}

export function droppedLine({ port, count, why }: UdpDropped): string {
  const datagrams = `${count} datagram${count === 1 ? "" : "s"}`;
  return why === "fragments"
    ? `inpod: mirror of UDP port ${port}: ${datagrams} not copied, longer than a packet: of a fragment only the target knows the rest (--steal takes them)`
    : `inpod: UDP port ${port}: ${datagrams} lost on the way to your process: more come, or from more clients, than this session takes`;
}

/** Of each kind the session is told seldom, with the count since its begin. */
export function missedLine({ port, what, count }: MirrorMissed): string {
  const connections = `${count} connection${count === 1 ? "" : "s"}`;
  const words = {
    tls: `${connections} with TLS not mirrored: only whom it is meant for can read it (--steal takes them)`,
    "began-before": `${connections} from before not mirrored until made anew`,
    hole: `${connections} mirrored no further: a packet was missed`,
    limit: `${connections} mirrored no further: more came than this session takes`,
    "not-http": `${connections} without HTTP not mirrored: http_filter takes nothing of them`,
    malformed: `${connections} mirrored no further: a request that can be read in more than one way, or not at all`,
    packets: `${count} packet${count === 1 ? "" : "s"} lost on the way to your process: the agent's node is too slow for them`,
  }[what];
  return port === 0 ? `inpod: mirror: ${words}` : `inpod: mirror of port ${port}: ${words}`;
}

/** Told once per port and reason. */
export function tlsLine({ port, why, detail }: TlsUntouched): string {
  const untouched = "such connections go untouched to the target";
  const words = {
    "no-certificate": `TLS arrives on port ${port}: your filter sees nothing of it (feature.network.incoming.tls: the server's certificate; or steal the port without a filter)`,
    "other-name": `TLS for ${detail === "" ? "no name" : `"${detail}"`} arrives on port ${port}, and none of your certificates is for that: ${untouched}`,
    "client-certificate": `the target's server on port ${port} asks its clients for certificates, which only they have: ${untouched}, and your filter sees nothing of them`,
    pod: `the target's server on port ${port} refuses TLS (${detail}): ${untouched}`,
    refused: `a client of port ${port} does not take your certificate: ${detail}`,
  }[why];
  return `inpod: ${words}`;
}

function changedVariables(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  const list = names.slice(0, MAX_NAMES).join(", ") + (more > 0 ? ` and ${more} more` : "");
  return `inpod: variables are not what they were when your process started: ${list}`;
}

/**
 * Tells the session of the target's restarts and of its end, until `signal` is aborted. The program's start comes
 * first: what has changed meanwhile is told as well.
 */
export async function followTarget(
  target: Target,
  session: Session,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const observer: TargetObserver = {
    onContainer: (id) => {
      session.targetContainer(id).catch((error: Error) => {
        // It may have ended again meanwhile; the next one is told, too.
        progress.say(`inpod: the target's container is not followed: ${error.message}`);
      });
    },
    onWaiting: (why) => progress.say(`inpod: the target's container does not run now: ${why}`),
    onEnding: () => progress.say(`inpod: ${target.name} is being deleted`),
    onMoving: (why, goesOn) => session.targetMoves(why, goesOn),
    onGone: (why) => session.lose(why),
  };
  try {
    await delay(FOLLOW_AFTER_MS, undefined, { signal });
    await target.follow?.(observer, signal);
  } catch (error) {
    if (signal.aborted) return;
    const why = error instanceof Error ? error.message : String(error);
    progress.say(`inpod: a restart of the target's container will not be seen: ${why}`);
  }
}
