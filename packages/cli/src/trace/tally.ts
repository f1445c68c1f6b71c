/** Counts by a name, of which there may be very many: those beyond a limit are counted together. Pure. */

/** Names in one table. */
const MAX_NAMES = 20_000;

export class Tally<Row> {
  readonly #rows = new Map<string, Row>();
  readonly #make: (name: string) => Row;
  readonly #limit: number;
  /** How many calls had a name for which there was no room. */
  others = 0;

  constructor(make: (name: string) => Row, limit: number = MAX_NAMES) {
    this.#make = make;
    this.#limit = limit;
  }

  /** Undefined: there are too many; it is counted among the others. */
  at(name: string): Row | undefined {
    let row = this.#rows.get(name);
    if (row === undefined) {
      if (this.#rows.size >= this.#limit) {
        this.others++;
        return undefined;
      }
      row = this.#make(name);
      this.#rows.set(name, row);
    }
    return row;
  }

  get(name: string): Row | undefined {
    return this.#rows.get(name);
  }

  rows(): Row[] {
    return [...this.#rows.values()];
  }
}

/** `{ok: 3, ECONNREFUSED: 1}` */
export type Results = Record<string, number>;
const MAX_RESULTS = 64;

export function count(results: Results, result: string): void {
  const known = Object.hasOwn(results, result) || Object.keys(results).length < MAX_RESULTS;
  const name = known ? result : "others";
  results[name] = (results[name] ?? 0) + 1;
}

/** The largest few, the largest first. */
export class Largest<Item> {
  readonly #items: { readonly size: number; readonly item: Item }[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(size: number, item: Item): void {
    if (this.#items.length >= this.#limit && size <= (this.#items.at(-1)?.size ?? 0)) return;
    const at = this.#items.findIndex((other) => other.size < size);
    this.#items.splice(at < 0 ? this.#items.length : at, 0, { size, item });
    if (this.#items.length > this.#limit) this.#items.pop();
  }

  get items(): readonly Item[] {
    return this.#items.map(({ item }) => item);
  }
}
