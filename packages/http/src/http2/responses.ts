/** What is to be known of a destination's responses, and those that are ours where it gives none. */
import type { RequestFacts } from "../filter/subject.ts";
import type { Field } from "./hpack.ts";

const field = (name: string, value: string): Field => ({ name, value, indexing: "no" });

export const CONTINUE: readonly Field[] = [field(":status", "100")];
export const TOO_LARGE: readonly Field[] = [field(":status", "431")];

/** @returns undefined: there is none, or it is no number of three digits */
export function statusOf(fields: readonly Field[]): string | undefined {
  const status = fields.find(({ name }) => name === ":status")?.value;
  return status !== undefined && /^[1-9]\d\d$/.test(status) ? status : undefined;
}

export const isInformational = (status: string): boolean => status.startsWith("1");

export const isGrpc = ({ headers }: RequestFacts): boolean =>
  headers.some(
    ({ name, value }) => name === "content-type" && /^application\/grpc(?![\w-])/i.test(value),
  );

/**
 * A connection that is lost is UNAVAILABLE to a gRPC client; of a stream that is reset it would say INTERNAL, or
 * that nothing was done, and send it again.
 *
 * @param hasResponse trailers only
 */
export function failedGrpc(hasResponse: boolean): readonly Field[] {
  const trailers = [
    field("grpc-status", "14"),
    field("grpc-message", "the connection to the destination was lost"),
  ];
  if (hasResponse) return trailers;
  return [field(":status", "200"), field("content-type", "application/grpc"), ...trailers];
}
