/**
 * Who was there: events of the target pod, for everybody who looks at it (`kubectl describe pod`). They hold names
 * and ports, never contents, and the cluster forgets them after an hour or so.
 */
import type { AuditReason } from "../api.ts";
import type { ApiClient } from "./reach/api-client.ts";
import { ApiError } from "./reach/api-errors.ts";

export interface AuditedPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

const REQUEST_TIMEOUT_MS = 3_000;
/** Chars (events.k8s.io/v1, note). */
const MAX_NOTE = 1024;

export class Audit {
  readonly #api: ApiClient;
  readonly #pod: AuditedPod;
  readonly #sessionId: string;
  readonly #onRefused: (why: string) => void;
  #isRefused = false;
  #count = 0;

  /** @param onRefused called once, when the user may not write events or the cluster does not take them */
  constructor(
    api: ApiClient,
    pod: AuditedPod,
    sessionId: string,
    onRefused: (why: string) => void,
  ) {
    this.#api = api;
    this.#pod = pod;
    this.#sessionId = sessionId;
    this.#onRefused = onRefused;
  }

  /** Never throws: a session does not depend on it. Resolves when the cluster has it, or after 3 s. */
  async tell(reason: AuditReason, note: string): Promise<void> {
    if (this.#isRefused) return;
    const { namespace, name, uid } = this.#pod;
    const number = ++this.#count;
    try {
      await this.#api.request(
        { verb: "create", group: "events.k8s.io", resource: "events", namespace },
        {
          body: {
            apiVersion: "events.k8s.io/v1",
            kind: "Event",
            metadata: {
              name: `inpod-${this.#sessionId}-${number}`,
              namespace,
              labels: {
                "app.kubernetes.io/managed-by": "inpod",
                "inpod.dev/session": this.#sessionId,
              },
            },
            eventTime: new Date(this.#api.nowMs()).toISOString().replace(/Z$/, "000Z"),
            type: "Normal",
            reason,
            action: reason,
            reportingController: "inpod.dev/inpod",
            reportingInstance: this.#sessionId,
            regarding: { apiVersion: "v1", kind: "Pod", namespace, name, uid },
            note: note.slice(0, MAX_NOTE),
          },
          signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
        },
      );
    } catch (error) {
      // A refusal stays one; anything else may be better next time.
      if (!(error instanceof ApiError) || error.status >= 500 || this.#isRefused) return;
      this.#isRefused = true;
      this.#onRefused(error.message);
    }
  }
}
