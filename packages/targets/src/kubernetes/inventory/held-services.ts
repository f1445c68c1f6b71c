/** Services to which relay pods have given another selector, by the note in their annotation. */
import { type HeldNote, holdOf } from "@inpod/protocol";
import type { V1Service } from "@kubernetes/client-node";
import type { Cluster } from "../cluster.ts";
import { explain } from "../reach/api-errors.ts";
import { listAll } from "../reach/list.ts";
import { giveBack } from "../services/hold.ts";
import { isOrigin, rememberedNote } from "../services/relay-objects.ts";

export interface HeldService {
  readonly namespace: string;
  readonly name: string;
  /** Undefined: nobody can read it. */
  readonly note: HeldNote | undefined;
  /** Somebody took the note away: it is what the relay's own objects know. */
  readonly isRemembered: boolean;
  /** Gives it the selector that it had. @returns what came of it, for people. @throws UserError */
  restore(signal: AbortSignal): Promise<string>;
}

/** @param namespace undefined: all. @throws UserError FORBIDDEN and those of the API */
export async function heldServices(
  { api }: Cluster,
  namespace: string | undefined,
  signal: AbortSignal,
): Promise<HeldService[]> {
  try {
    const services = await listAll<V1Service>(
      api,
      { group: "", resource: "services", namespace },
      { signal },
    );
    const origins = services.filter(isOrigin);
    return services.flatMap((service) => {
      const { name = "", namespace: own = "" } = service.metadata ?? {};
      const remembered = rememberedNote(service, origins);
      const hold = holdOf(service, remembered);
      if (hold.kind === "free") return [];
      const note = hold.kind === "held" ? hold.note : undefined;
      const restore = async (restoring: AbortSignal): Promise<string> => {
        try {
          const who = { holder: note?.holder, remembered };
          const given = await giveBack({ api, namespace: own, name }, who, restoring);
          return WORDS[given.kind === "restored" && given.isKept ? "kept" : given.kind];
        } catch (error) {
          throw explain(error);
        }
      };
      const isRemembered = note !== undefined && note === remembered;
      return [{ namespace: own, name, note, isRemembered, restore }];
    });
  } catch (error) {
    throw explain(error);
  }
}

const WORDS = {
  restored: "it leads to its own pods again",
  kept: "somebody has given it another selector meanwhile, which stays; inpod's note is gone",
  free: "it has been given back already",
  gone: "it is not there any more",
  others: "another session has it now",
} as const;
