/** Takes a Service's selector for a relay pod, says again that it is held, and gives it back. */
import { setTimeout as delay } from "node:timers/promises";
import {
  disownPatch,
  FIELD_MANAGER,
  HELD_ANNOTATION,
  type HeldNote,
  holdOf,
  leadsToOwnPods,
  leadsToRelay,
  namesRelay,
  renewPatch,
  restorePatch,
  takePatch,
  UserError,
} from "@inpod/protocol";
import type { V1Service } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";
import { ApiError, explain, isForbidden, isNotFound } from "../reach/api-errors.ts";

/** Without a word of its holder's for so long a Service is nobody's, and whoever sees it may give it back. */
export const LEASE_MS = 180_000;
const RENEW_MS = 60_000;
/** Somebody else wrote the Service between our reading and our patch. */
const ATTEMPTS = 8;

export interface ServicePlace {
  readonly api: ApiClient;
  readonly namespace: string;
  readonly name: string;
}

const call = ({ namespace, name }: ServicePlace) =>
  ({ group: "", resource: "services", namespace, name }) as const;

/** @throws ApiError */
export const readService = (place: ServicePlace, signal?: AbortSignal): Promise<V1Service> =>
  place.api.request<V1Service>({ verb: "get", ...call(place) }, { signal });

export type Given =
  /** `isKept`: somebody else had given it another selector, which stays. */
  | { readonly kind: "restored"; readonly note: HeldNote; readonly isKept: boolean }
  | { readonly kind: "free" | "gone" }
  /** By another one than was asked for. */
  | { readonly kind: "others"; readonly note: HeldNote };

/**
 * From what is there now, until nobody is in between.
 *
 * @param decide undefined: nothing is to be done. May be asked again
 */
async function change<T>(
  place: ServicePlace,
  signal: AbortSignal | undefined,
  decide: (service: V1Service) => { readonly patch: unknown; readonly result: T } | { result: T },
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const wanted = decide(await readService(place, signal));
    if (!("patch" in wanted)) return wanted.result;
    try {
      await place.api.request(
        { verb: "patch", ...call(place) },
        { body: wanted.patch, signal, query: { fieldManager: FIELD_MANAGER } },
      );
      return wanted.result;
    } catch (error) {
      const isConflict = error instanceof ApiError && error.status === 409;
      if (!isConflict || attempt >= ATTEMPTS) throw error;
    }
  }
}

/**
 * @param noteFor of the Service as it is now. @throws UserError SERVICE_HELD
 */
export async function take(
  place: ServicePlace,
  noteFor: (service: V1Service) => HeldNote,
  nowMs: number,
  signal: AbortSignal,
): Promise<HeldNote> {
  return change(place, signal, (service) => {
    const hold = holdOf(service);
    if (hold.kind === "unreadable") throw unreadable(place, hold.why);
    const note = noteFor(service);
    if (hold.kind === "held" && hold.note.holder !== note.holder && hold.note.untilMs > nowMs)
      throw held(place, hold.note);
    // Of one whose holder is gone the note still has what it was.
    return { patch: takePatch(service, note), result: note };
  });
}

/**
 * @param who.holder undefined: whoever it is
 * @param who.remembered what the note said, should somebody have taken it away
 * @throws ApiError, UserError SERVICE_HELD (a note that nobody can read)
 */
export async function giveBack(
  place: ServicePlace,
  {
    holder,
    remembered,
  }: { readonly holder?: string | undefined; readonly remembered?: HeldNote | undefined },
  signal?: AbortSignal,
): Promise<Given> {
  try {
    const given = await change<Given>(place, signal, (service) => {
      const hold = holdOf(service, remembered);
      if (hold.kind === "free") return { result: { kind: "free" } };
      if (hold.kind === "unreadable") throw unreadable(place, hold.why);
      const { note } = hold;
      if (holder !== undefined && note.holder !== holder)
        return { result: { kind: "others", note } };
      const isKept = !namesRelay(service, note);
      return { patch: restorePatch(service, note), result: { kind: "restored", note, isKept } };
    });
    if (given.kind === "restored") await disown(place, signal);
    return given;
  } catch (error) {
    if (isNotFound(error)) return { kind: "gone" };
    throw error;
  }
}

/** The Service is as it was without this, but for who may apply what to it. */
const disown = (place: ServicePlace, signal: AbortSignal | undefined): Promise<void> =>
  change<void>(place, signal, (service) => {
    const patch = holdOf(service).kind === "free" ? disownPatch(service) : undefined;
    return patch === undefined ? { result: undefined } : { patch, result: undefined };
  }).catch(() => {});

/**
 * While a session has the Service: its lease goes on, and what others do to it is told. Whoever gives it another selector
 * means it: no session works against a controller, and what is left of the relay in it goes.
 *
 * @param onNotice a line for people. Never rejects
 */
export async function followHold(
  place: ServicePlace,
  remembered: HeldNote,
  signal: AbortSignal,
  onNotice: (line: string) => void,
): Promise<void> {
  const { holder } = remembered;
  const lost = new AbortController();
  const both = AbortSignal.any([signal, lost.signal]);
  const renewing = (async () => {
    for (;;) {
      await delay(RENEW_MS, undefined, { signal: both });
      await renew(place, holder, both).catch(() => {});
    }
  })();
  renewing.catch(() => {});
  const what = `service/${place.name}`;
  while (!both.aborted) {
    try {
      const events = place.api.watch<V1Service>(
        { verb: "watch", group: "", resource: "services", namespace: place.namespace },
        { fieldSelector: `metadata.name=${place.name}` },
        both,
      );
      for await (const { type, object } of events) {
        if (type === "DELETED") onNotice(`${what} was deleted`);
        if (type !== "ADDED" && type !== "MODIFIED") continue;
        const isHeld = isNoted(object, holder);
        if (isHeld && leadsToRelay(object, remembered)) continue;
        // Others have no right to what is the relay's: without the note nobody would find it.
        if (isHeld || namesRelay(object, remembered))
          await giveBack(place, { holder, remembered }, signal).catch(() => {});
        onNotice(lostWords(what, object, remembered));
        lost.abort();
        break;
      }
    } catch (error) {
      // Without the right to watch it is not seen what others do.
      if (isForbidden(error)) return;
    }
    await delay(1000, undefined, { signal: both }).catch(() => {});
  }
}

const renew = (place: ServicePlace, holder: string, signal: AbortSignal): Promise<void> =>
  change<void>(place, signal, (service) => {
    const hold = holdOf(service);
    if (hold.kind !== "held" || hold.note.holder !== holder) return { result: undefined };
    const note = { ...hold.note, untilMs: place.api.nowMs() + LEASE_MS };
    return { patch: renewPatch(service, note), result: undefined };
  });

/** Who wrote the selector last says so himself. */
const writerOf = ({ metadata }: V1Service): string | undefined =>
  [...(metadata?.managedFields ?? [])]
    .filter(
      ({ manager, fieldsV1 }) =>
        manager !== FIELD_MANAGER && "f:selector" in Object(Object(fieldsV1)["f:spec"]),
    )
    .sort((a, b) => Number(new Date(b.time ?? 0)) - Number(new Date(a.time ?? 0)))[0]?.manager;

function isNoted(service: V1Service, holder: string): boolean {
  const hold = holdOf(service);
  return hold.kind === "held" && hold.note.holder === holder;
}

function lostWords(what: string, service: V1Service, remembered: HeldNote): string {
  const { holder } = remembered;
  const hold = holdOf(service);
  if (hold.kind === "held" && hold.note.holder !== holder)
    return `${what} is held by ${hold.note.owner || "somebody else"} now: its requests do not come here any more`;
  if (leadsToRelay(service, remembered))
    return `the annotation ${HELD_ANNOTATION} of ${what} was taken away, by which inpod finds what is to be given back: ${what} has its own selector again, and its requests go to the pods. Start this session anew`;
  const writer = writerOf(service);
  if (writer === undefined && leadsToOwnPods(service, remembered))
    return `${what} leads to its own pods again: its relay pod is ending, or somebody gave it back (inpod recover, inpod clean)`;
  return `${what} has another selector again${writer === undefined ? "" : `, written by "${writer}"`}: its requests go to the pods. If a controller keeps it as it is in git, have it leave the Service alone, and start this session anew`;
}

export const held = ({ name, namespace }: ServicePlace, { owner, holder }: HeldNote): UserError =>
  new UserError(
    "SERVICE_HELD",
    `the traffic of service/${name} is ${owner || "somebody"}'s now (session ${holder})`,
    {
      hints: [
        "only one relay pod at a time can have a Service's selector",
        `where that session is dead: inpod recover ${name} -n ${namespace}`,
      ],
    },
  );

const unreadable = ({ name, namespace }: ServicePlace, why: string): UserError =>
  new UserError(
    "SERVICE_HELD",
    `the note ${HELD_ANNOTATION} of service/${name} cannot be read: ${why}`,
    {
      hints: [
        `look at it: kubectl get service ${name} -n ${namespace} -o yaml`,
        "a newer inpod may have written it",
      ],
    },
  );

/** What keeps us from the Service, for people. */
export const explainService = (error: unknown): unknown => explain(error);
