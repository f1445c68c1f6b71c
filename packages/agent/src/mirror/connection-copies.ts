/** The copies of one connection: all of it for those who want all, and some requests for those with a filter. */
import type { Filter } from "@inpod/http";
import { Copy } from "./copies.ts";
import { FilteredCopies, type FilteredParts } from "./filtered.ts";
import type { Sink } from "./streams.ts";
import { withoutProbes } from "./without-probes.ts";

export class ConnectionCopies<W> implements Sink {
  readonly #whole = new Map<W, Sink>();
  readonly #filtered: FilteredCopies<W> | undefined;
  readonly #onOver: (copies: ConnectionCopies<W>) => void;

  /**
   * @param client its address
   * @param onOver it has ended, or was reset
   */
  constructor(
    client: string,
    watchers: ReadonlyMap<W, { readonly filter: Filter | undefined }>,
    parts: FilteredParts<W>,
    onOver: (copies: ConnectionCopies<W>) => void,
  ) {
    this.#onOver = onOver;
    const filters: [W, Filter][] = [];
    for (const [watcher, { filter }] of watchers) {
      if (filter !== undefined) {
        filters.push([watcher, filter]);
        continue;
      }
      const open = (): Sink | undefined => {
        const channel = parts.open(watcher, false);
        const onLimit = (): void => parts.missed(watcher, "limit");
        return channel && new Copy(channel, parts.budget, onLimit);
      };
      const probes = parts.probes(watcher);
      const copy = probes?.mayAsk(client) ? withoutProbes(probes, open) : open();
      if (copy !== undefined) this.#whole.set(watcher, copy);
    }
    if (filters.length > 0) this.#filtered = new FilteredCopies(filters, parts);
  }

  /** Nobody wants anything of it. */
  get isEmpty(): boolean {
    return this.#whole.size === 0 && this.#filtered === undefined;
  }

  data(bytes: Buffer): void {
    for (const copy of this.#whole.values()) copy.data(bytes);
    this.#filtered?.data(bytes);
  }

  end(): void {
    this.#onOver(this);
    for (const copy of this.#whole.values()) copy.end();
    this.#filtered?.end();
  }

  reset(errno: string): void {
    this.#onOver(this);
    for (const copy of this.#whole.values()) copy.reset(errno);
    this.#filtered?.reset(errno);
  }

  leave(watcher: W, errno: string): void {
    this.#whole.get(watcher)?.reset(errno);
    this.#whole.delete(watcher);
    this.#filtered?.leave(watcher, errno);
  }
}
