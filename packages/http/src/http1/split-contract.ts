/** What the splitter asks of its edge, and what its edge tells it. */
import type { Field } from "./edit-head.ts";
import type { RequestHead } from "./head.ts";

export type Command<D> =
  /** Connect; what is sent before that has succeeded waits. */
  | { readonly kind: "open"; readonly upstream: number; readonly to: D }
  | { readonly kind: "send"; readonly upstream: number; readonly bytes: Uint8Array }
  /** Nothing more will be sent: FIN. It may still answer. */
  | { readonly kind: "end"; readonly upstream: number }
  /** No event of it matters any more. */
  | { readonly kind: "reset"; readonly upstream: number }
  | { readonly kind: "reply"; readonly bytes: Uint8Array }
  /** FIN after what was replied. */
  | { readonly kind: "end-client" }
  | { readonly kind: "reset-client" }
  /** From here on all bytes go to and fro between the client and `to`: for the log. */
  | { readonly kind: "raw"; readonly to: D; readonly why: string };

export interface SplitterOptions<D> {
  /** The pod: to whom belongs what cannot be read. */
  readonly fallback: D;
  /** `needs-body`: only routeWithBody can tell. */
  route(request: RequestHead): D | "needs-body";
  /** @param body without chunk sizes; undefined: it is too long, or did not come in time */
  routeWithBody(request: RequestHead, body: Uint8Array | undefined): D;
  /** A header that each response of `to` gets. */
  fieldOf?(to: D): Field | undefined;
  /** To whom upstream 1 is open already; nothing was said there yet. */
  readonly opened?: D;
  /** Bytes of a body that is waited for, chunk sizes included. */
  readonly bodyLimitBytes?: number;
}
