/** What is read of a client's bytes alone, by somebody who only looks on. */
import type { Header } from "../http1/head.ts";

/** The head of one request, of any version. */
export interface SeenRequest {
  readonly version: "1.0" | "1.1" | "2";
  readonly method: string;
  /** HTTP/1's request target, HTTP/2's `:path` (of CONNECT its `:authority`). */
  readonly target: string;
  /** HTTP/2's `:scheme`. */
  readonly scheme?: string | undefined;
  /** Names in lower case; HTTP/2's `:authority` is `host` if there is none. One char for each byte. */
  readonly headers: readonly Header[];
}

/** `whole`: its client has ended it. `reset`: its client has given it up. `unfinished`: no more of it is seen. */
export type RequestEnd = "whole" | "reset" | "unfinished";

export type ReadEvent =
  /** `id` counts the connection's requests; of HTTP/2 `stream` is its stream's. */
  | {
      readonly kind: "request";
      readonly id: number;
      readonly request: SeenRequest;
      readonly stream?: number;
    }
  /** Of its body, chunk sizes and padding left out. Part of what was pushed: to be copied by who keeps it. */
  | { readonly kind: "body"; readonly id: number; readonly bytes: Uint8Array }
  | {
      readonly kind: "end";
      readonly id: number;
      readonly how: RequestEnd;
      /** HTTP/2's; those of HTTP/1 are left out. */
      readonly trailers: readonly Header[];
    }
  /** That are of no request. Part of what was pushed, or held. `ofHead`: among them can be a request's head. */
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly ofHead: boolean }
  /** What follows is read in another way, or not at all: `bytes`, or nothing. */
  | { readonly kind: "note"; readonly why: string };

export const NO_TRAILERS: readonly Header[] = [];
