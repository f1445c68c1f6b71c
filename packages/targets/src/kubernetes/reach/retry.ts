/** Which failed requests are worth another try, and when. Pure. */
import { UserError } from "@inpod/protocol";
import { ApiError } from "./api-errors.ts";
import type { ApiVerb } from "./roles.ts";

export interface Retry {
  /** Before the second try; each further wait is twice as long, up to `maxMs`. */
  readonly minMs: number;
  readonly maxMs: number;
  /** Tries after the first. */
  readonly maxRetries: number;
}

/** @param failed tries so far; @returns milliseconds to wait, undefined: it has been tried enough */
export const retryDelayMs = (
  { minMs, maxMs, maxRetries }: Retry,
  failed: number,
): number | undefined =>
  failed > maxRetries ? undefined : Math.min(maxMs, minMs * 2 ** Math.min(failed - 1, 30));

/** The request did not get as far as the API server: errno of connect(2) and getaddrinfo(3). */
const UNSENT = ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "ENETDOWN", "EAI_AGAIN"];
/** It may have arrived, and its answer be lost: only what changes nothing can be asked again. */
const CHANGES_NOTHING: readonly ApiVerb[] = ["get", "list"];
/** The API server, or a proxy before it, is busy or starting. */
const PASSING = [429, 500, 502, 503, 504];

export function isWorthRetrying(error: unknown, verb: ApiVerb): boolean {
  if (error instanceof ApiError)
    // 429: it was turned away before anything was done.
    return (
      error.status === 429 || (PASSING.includes(error.status) && CHANGES_NOTHING.includes(verb))
    );
  if (!(error instanceof UserError) || error.code !== "API_SERVER_UNREACHABLE") return false;
  return CHANGES_NOTHING.includes(verb) || UNSENT.includes(errnoOf(error.cause));
}

/** Of several addresses that were tried, the last. */
function errnoOf(cause: unknown): string {
  const { code, errors } = (cause ?? {}) as { code?: string; errors?: readonly unknown[] };
  return code ?? (errors === undefined ? "" : errnoOf(errors.at(-1)));
}
