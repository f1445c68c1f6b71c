/**
 * A client that has said nothing yet, where the server may be the one that speaks first: it is connected, so that
 * it can. If the client is the first all the same (a pool that connects before it has a request), its bytes tell
 * what it speaks, as if it had been quick.
 */
import { type Command, Detector, startsAsHttp2Server, Unread } from "@inpod/http";
import { type Passage, Raw } from "./raw.ts";

export interface SilentOptions<D> {
  readonly to: D;
  /** What the client speaks; upstream 1 is open to `to`. */
  split(kind: "http1" | "http2"): Passage<D>;
  onRaw(why: string): void;
}

export class Silent<D> implements Passage<D> {
  readonly #options: SilentOptions<D>;
  readonly #detector = new Detector();
  readonly #held = new Unread();
  /** By the server, when that can still be the beginning of something. */
  readonly #said = new Unread();
  #inner: Passage<D> | undefined;
  #isOpen = false;
  #isOver = false;
  #isDraining = false;

  constructor(options: SilentOptions<D>) {
    this.#options = options;
  }

  get wantsClientBytes(): boolean {
    return this.#inner?.wantsClientBytes ?? true;
  }

  /** Bytes that can still become anything are waited for, too. */
  get isWaitingForBody(): boolean {
    return this.#inner?.isWaitingForBody ?? this.#held.length + this.#said.length > 0;
  }

  get isAnswering(): boolean {
    return this.#inner?.isAnswering ?? false;
  }

  get isOver(): boolean {
    return this.#inner?.isOver ?? this.#isOver;
  }

  /** To be called first, with nothing. */
  clientBytes(bytes: Uint8Array): Command<D>[] {
    if (this.#inner) return this.#inner.clientBytes(bytes);
    if (!this.#isOpen) {
      this.#isOpen = true;
      return [{ kind: "open", upstream: 1, to: this.#options.to }];
    }
    this.#held.append(bytes);
    const found = this.#detector.push(bytes);
    switch (found.kind) {
      case "undecided":
        return [];
      case "http1":
      case "http2":
        this.#inner = this.#options.split(found.kind);
        return [
          ...this.#inner.clientBytes(this.#held.consume()),
          ...((this.#isDraining ? this.#inner.drain?.() : undefined) ?? []),
        ];
      case "other":
        return this.#goRaw(found.why);
      default:
        return this.#goRaw(found.kind);
    }
  }

  clientEnd(): Command<D>[] {
    if (this.#inner) return this.#inner.clientEnd();
    return [...this.#goRaw("ended"), { kind: "end", upstream: 1 }];
  }

  clientReset(): Command<D>[] {
    if (this.#inner) return this.#inner.clientReset();
    this.#isOver = true;
    return [{ kind: "reset", upstream: 1 }];
  }

  bodyDeadline(): Command<D>[] {
    return this.#inner ? this.#inner.bodyDeadline() : this.#goRaw("undecided");
  }

  /** Which of the two would speak first is not known yet: it lives on until one does. */
  drain(): Command<D>[] {
    this.#isDraining = true;
    return this.#inner?.drain?.() ?? [];
  }

  leave(to: D): Command<D>[] {
    return this.#inner?.leave?.(to) ?? [];
  }

  isAsking(to: D): boolean {
    return this.#inner?.isAsking?.(to) ?? false;
  }

  upstreamBytes(id: number, bytes: Uint8Array): Command<D>[] {
    if (this.#inner) return this.#inner.upstreamBytes(id, bytes);
    this.#said.append(bytes);
    const isHttp2 = startsAsHttp2Server(this.#said.view());
    if (isHttp2 === undefined) return [];
    const said = this.#said.consume();
    if (!isHttp2)
      return [...this.#goRaw("the server speaks first"), { kind: "reply", bytes: said }];
    this.#inner = this.#options.split("http2");
    return [
      ...this.#inner.upstreamBytes(id, said),
      ...this.#inner.clientBytes(this.#held.consume()),
      ...((this.#isDraining ? this.#inner.drain?.() : undefined) ?? []),
    ];
  }

  upstreamEnd(id: number): Command<D>[] {
    if (this.#inner) return this.#inner.upstreamEnd(id);
    return [...this.#goRaw("silent"), { kind: "end-client" }];
  }

  upstreamReset(id: number): Command<D>[] {
    if (this.#inner) return this.#inner.upstreamReset(id);
    this.#isOver = true;
    return [{ kind: "reset-client" }];
  }

  get upstreamFull(): Passage<D>["upstreamFull"] {
    return this.#inner?.upstreamFull?.bind(this.#inner);
  }

  get upstreamDrained(): Passage<D>["upstreamDrained"] {
    return this.#inner?.upstreamDrained?.bind(this.#inner);
  }

  #goRaw(why: string): Command<D>[] {
    const raw = new Raw<D>(this.#options.to, true);
    this.#inner = raw;
    this.#options.onRaw(why);
    const commands = raw.clientBytes(this.#held.consume());
    const said = this.#said.consume();
    return said.length === 0 ? commands : [...commands, { kind: "reply", bytes: said }];
  }
}
