/** Where a client's connection stands. */
import type { Unread } from "../bytes.ts";
import type { BodyReader } from "./body.ts";
import type { RequestHead } from "./head.ts";
import type { Responses } from "./responses.ts";

export interface Upstream<D> {
  readonly id: number;
  readonly to: D;
  readonly responses: Responses;
  hasEnd: boolean;
}

export interface Routed<D> {
  readonly kind: "request";
  readonly to: D;
  readonly request: RequestHead;
  readonly headLength: number;
  readonly hasContinued: boolean;
}

/** The body decides, and is not complete: everything is unread, and `looked` bytes of it were looked at. */
export interface Deciding {
  readonly kind: "deciding";
  readonly request: RequestHead;
  readonly headLength: number;
  readonly reader: BodyReader;
  readonly payload: Unread;
  looked: number;
  isContinueDue: boolean;
  hasContinued: boolean;
}

export interface Sending<D> {
  readonly kind: "body";
  readonly request: RequestHead;
  readonly upstream: Upstream<D>;
  readonly reader: BodyReader;
  /** The answer has said so already. */
  isLast: boolean;
}

export type Phase<D> =
  | { readonly kind: "head" }
  | Deciding
  /** Decided, but others must be answered before. */
  | { readonly kind: "waiting"; readonly next: Routed<D> | { kind: "raw"; readonly why: string } }
  | Sending<D>
  /** The answer tells whether it is still HTTP. */
  | { readonly kind: "upgrading"; readonly request: RequestHead }
  | { readonly kind: "raw"; readonly upstream: Upstream<D> }
  /** What the client sends matters no more. `endsAtInput`: it may be waiting for an answer that nobody will give. */
  | { readonly kind: "last"; readonly endsAtInput: boolean };
