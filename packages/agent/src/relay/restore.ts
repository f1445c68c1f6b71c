/** Gives a Service its own selector back, where this relay still holds it: nobody else may be there to do it. */
import { setTimeout as delay } from "node:timers/promises";
import { disownPatch, type HeldNote, holdOf, type RelayPlace, restorePatch } from "@inpod/protocol";
import type { ServiceApi } from "./service-api.ts";

const ATTEMPTS = 8;

/** @param signal gives up. @returns what became of it, for the log; never rejects */
export async function restore(
  api: ServiceApi,
  { holder, selectors }: Pick<RelayPlace, "holder" | "selectors">,
  retryMs: number,
  signal: AbortSignal,
): Promise<{ readonly isFree: boolean; readonly why: string }> {
  const remembered: HeldNote | undefined = selectors && {
    ...selectors,
    holder,
    owner: "",
    untilMs: 0,
  };
  let why = "";
  for (let attempt = 1; attempt <= ATTEMPTS && !signal.aborted; attempt++) {
    try {
      const { service, status } = await api.get(signal);
      if (status === 404) return { isFree: true, why: "the Service is gone" };
      if (service === undefined) why = `HTTP ${status}`;
      else {
        const hold = holdOf(service, remembered);
        if (hold.kind !== "held" || hold.note.holder !== holder)
          return { isFree: true, why: "it is not held by this relay any more" };
        const answer = await api.patch(restorePatch(service, hold.note), signal);
        if (answer.service !== undefined) {
          const disowned = disownPatch(answer.service);
          if (disowned !== undefined) await api.patch(disowned, signal).catch(() => undefined);
          return { isFree: true, why: "given back" };
        }
        why = `HTTP ${answer.status}`;
        if (answer.status === 409) continue;
      }
    } catch (error) {
      why = error instanceof Error ? error.message : String(error);
    }
    await delay(retryMs, undefined, { signal }).catch(() => {});
  }
  return { isFree: false, why };
}
