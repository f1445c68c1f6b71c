/** Follows the events about an agent while it starts. */
import type { CoreV1Event } from "@kubernetes/client-node";
import type { ApiClient } from "../reach/api-client.ts";

export interface ObjectRef {
  readonly kind: "Job" | "Pod";
  readonly name: string;
}

/** Those about one object. They make errors better and start-up faster, so refusals are no errors. */
export async function followEvents(
  api: ApiClient,
  namespace: string,
  about: ObjectRef,
  signal: AbortSignal,
  onEvent: (event: CoreV1Event) => void,
): Promise<void> {
  try {
    const events = api.watch<CoreV1Event>(
      { verb: "watch", group: "", resource: "events", namespace },
      { fieldSelector: `involvedObject.kind=${about.kind},involvedObject.name=${about.name}` },
      signal,
    );
    for await (const { type, object } of events) if (type !== "DELETED") onEvent(object);
  } catch {
    // The pod's status says the same, later and in fewer words.
  }
}
