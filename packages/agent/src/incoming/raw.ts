/** What Splitter is for HTTP/1, for everything else: all bytes to and fro between the client and one destination. */
import type { Command, Splitter } from "@inpod/http";

/** What a client's connection is driven by. */
export type Passage<D> = Pick<
  Splitter<D>,
  | "clientBytes"
  | "clientEnd"
  | "clientReset"
  | "bodyDeadline"
  | "upstreamBytes"
  | "upstreamEnd"
  | "upstreamReset"
  | "wantsClientBytes"
  | "isWaitingForBody"
  | "isOver"
> & {
  /** It goes on without this upstream, which takes nothing until upstreamDrained(). Left out: the client is not read. */
  readonly upstreamFull?: ((id: number) => void) | undefined;
  readonly upstreamDrained?: ((id: number) => Command<D>[]) | undefined;
  /** What the client sends is answered here: it is not read while it does not take the answers. */
  readonly isAnswering?: boolean;
  /**
   * The client should come with a new connection: what is the end of this one, and when, is its protocol's. Left out:
   * nobody knows where its messages end, and it lives on.
   */
  readonly drain?: (() => Command<D>[]) | undefined;
  /** Something that went to `to` has not had all of its answer. Left out: nobody knows. */
  readonly isAsking?: ((to: D) => boolean) | undefined;
  /** `to` goes away: its end is not the client's, unless something is asked of it. Left out: it never is. */
  readonly leave?: ((to: D) => Command<D>[]) | undefined;
};

export class Raw<D> implements Passage<D> {
  readonly #to: D;
  #isOpen = false;
  #isOver = false;

  readonly wantsClientBytes = true;
  readonly isWaitingForBody = false;

  /** @param isOpen upstream 1 is, to `to` */
  constructor(to: D, isOpen = false) {
    this.#to = to;
    this.#isOpen = isOpen;
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** To be called first, with all that has come: it may be nothing. */
  clientBytes(bytes: Uint8Array): Command<D>[] {
    const commands: Command<D>[] = this.#isOpen
      ? []
      : [{ kind: "open", upstream: 1, to: this.#to }];
    this.#isOpen = true;
    if (bytes.length > 0) commands.push({ kind: "send", upstream: 1, bytes });
    return commands;
  }

  clientEnd(): Command<D>[] {
    return [{ kind: "end", upstream: 1 }];
  }

  clientReset(): Command<D>[] {
    this.#isOver = true;
    return [{ kind: "reset", upstream: 1 }];
  }

  bodyDeadline(): Command<D>[] {
    return [];
  }

  upstreamBytes(_: number, bytes: Uint8Array): Command<D>[] {
    return [{ kind: "reply", bytes }];
  }

  upstreamEnd(): Command<D>[] {
    return [{ kind: "end-client" }];
  }

  upstreamReset(): Command<D>[] {
    this.#isOver = true;
    return [{ kind: "reset-client" }];
  }
}
