/** What was asked of the cluster and may have been refused: nobody must be an admin to be examined. */
import { UserError } from "@inpod/protocol";
import { ApiError, isForbidden } from "../reach/api-errors.ts";

export type Answer<Value> =
  | { readonly kind: "known"; readonly value: Value }
  /** `why`: in the API server's words. */
  | { readonly kind: "unknown"; readonly why: string; readonly isForbidden: boolean };

/** @throws UserError when there is no API server to ask any more */
export async function ask<Value>(work: Promise<Value>): Promise<Answer<Value>> {
  try {
    return { kind: "known", value: await work };
  } catch (error) {
    if (error instanceof UserError || !(error instanceof ApiError)) throw error;
    return { kind: "unknown", why: error.message, isForbidden: isForbidden(error) };
  }
}

export const map = <From, To>(answer: Answer<From>, change: (value: From) => To): Answer<To> =>
  answer.kind === "known" ? { kind: "known", value: change(answer.value) } : answer;
