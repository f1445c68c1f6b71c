/** Whether clients have got what they should have. Pure. */
import type { Act } from "./acts.ts";
import type { Mode } from "./modes.ts";
import type { Answer } from "./world.ts";

export interface Facts {
  readonly mode: Mode;
  readonly act: Act;
  readonly actMs: number;
  readonly actEndMs: number;
  /** When a process of a developer's was killed, by whomever. */
  readonly killsMs: readonly number[];
  readonly hasSecond: boolean;
}

/** A killed process is missed when its connections' ends have come through the API server. */
const UNTIL_MISSED_MS = 3000;
/** Of what is deleted the nodes learn one after the other; a client gives up after 8 s. */
const UNTIL_KNOWN_MS = 12_000;
const ASK_TIMEOUT_MS = 8500;

export function failures(answers: readonly Answer[], facts: Facts): string[] {
  return answers
    .filter((answer) => !isGood(answer, facts) && !isExplained(answer, facts))
    .map(
      ({ who, fromMs, untilMs, text }) =>
        `${who} was told "${text}", from ${fromMs - facts.actMs} to ${untilMs - facts.actMs} ms`,
    );
}

function isGood({ who, text }: Answer, { mode, hasSecond }: Facts): boolean {
  if (text === "200 pod") return true;
  if (!text.startsWith("200 I am here")) return false;
  if (who === "orders") return mode.name === "up";
  if (hasSecond) return true;
  return mode.takes === "everybody's" || (mode.takes === "marked" && who !== "anybody");
}

function isExplained({ fromMs, untilMs, text }: Answer, facts: Facts): boolean {
  const { act, actMs, actEndMs, killsMs } = facts;
  if (act.costs === "requests" && untilMs >= actMs && fromMs <= actEndMs + UNTIL_KNOWN_MS)
    return untilMs <= actEndMs + UNTIL_KNOWN_MS + ASK_TIMEOUT_MS;
  const losses = act.costs === "what-it-had" ? [...killsMs, actEndMs] : killsMs;
  const isReset = /ECONNRESET|hang up/.test(text);
  return isReset && losses.some((ms) => untilMs >= ms - 50 && fromMs <= ms + UNTIL_MISSED_MS);
}
