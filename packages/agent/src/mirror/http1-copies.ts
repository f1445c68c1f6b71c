/** The requests of one HTTP/1 connection, each copied to whom it matches: for each of them one stream, as long as it lasts. */
import { type CopierEvent, RequestCopier } from "@inpod/http";
import { Copy, Share } from "./copies.ts";
import type { FilteredParts, RequestCopies, Wishes } from "./filtered.ts";

export class Http1Copies<W> implements RequestCopies<W> {
  readonly #wishes: Wishes<W>;
  readonly #parts: FilteredParts<W>;
  readonly #copier: RequestCopier<W>;
  readonly #share: Share;
  readonly #copies = new Map<W, Copy>();
  #isOver = false;

  constructor(wishes: Wishes<W>, parts: FilteredParts<W>) {
    this.#wishes = wishes;
    this.#parts = parts;
    this.#copier = new RequestCopier<W>({
      wants: (request) => wishes.wants(request),
      wantsWithBody: (request, body) => wishes.wantsWithBody(request, body),
    });
    this.#share = new Share(parts.budget, () => this.#copier.waitingBytes);
  }

  data(bytes: Buffer): void {
    if (this.#isOver) return;
    for (const event of this.#copier.bytes(bytes)) this.#do(event);
    if (this.#isOver || this.#share.hasRoom()) return;
    this.reset("ENOBUFS");
    for (const watcher of this.#wishes.filters.keys()) this.#parts.missed(watcher, "limit");
  }

  end(): void {
    if (this.#isOver) return;
    for (const event of this.#copier.end()) this.#do(event);
    this.#finish((copy) => copy.end());
  }

  reset(errno: string): void {
    this.#finish((copy) => copy.reset(errno));
  }

  leave(watcher: W, errno: string): void {
    this.#copies.get(watcher)?.reset(errno);
    this.#copies.delete(watcher);
  }

  #do(event: CopierEvent<W>): void {
    if (event.kind === "copy") {
      for (const watcher of event.to) this.#copy(watcher, event.bytes, event.isStart);
      return;
    }
    for (const watcher of event.inside) this.leave(watcher, "ECONNABORTED");
    // Whole requests are no worse for what comes after them.
    this.#finish((copy) => copy.end());
    for (const watcher of this.#wishes.filters.keys()) this.#parts.missed(watcher, "malformed");
  }

  #copy(watcher: W, bytes: Uint8Array, isStart: boolean): void {
    if (isStart) this.#parts.request(watcher);
    let copy = this.#copies.get(watcher);
    if (isStart && (copy === undefined || copy.isOver || copy.hasProgramEnd)) {
      // The program has closed the one before, as servers do with idle connections: the next request has its own.
      copy?.end();
      this.#copies.delete(watcher);
      const channel = this.#parts.open(watcher, false);
      if (channel === undefined) return;
      copy = new Copy(channel, this.#parts.budget, () => this.#parts.missed(watcher, "limit"));
      this.#copies.set(watcher, copy);
    }
    copy?.data(bytes);
  }

  #finish(each: (copy: Copy) => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#share.giveBack();
    for (const copy of this.#copies.values()) each(copy);
    this.#copies.clear();
  }
}
