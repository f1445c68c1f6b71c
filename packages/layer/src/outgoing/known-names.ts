/**
 * Names and the addresses that DNS answers gave them: filters by name know an address by these. Answers are read as
 * they pass.
 */
import { addressesIn } from "@inpod/session";

const MAX_ADDRESSES = 4096;
const MAX_NAMES_EACH = 16;

/** Remembers, oldest forgotten first. */
export class KnownNames {
  readonly #names = new Map<string, string[]>();

  learn(message: Uint8Array): void {
    for (const { name, address } of addressesIn(message)) {
      const known = this.#names.get(address) ?? [];
      this.#names.delete(address);
      this.#names.set(
        address,
        [name, ...known.filter((other) => other !== name)].slice(0, MAX_NAMES_EACH),
      );
      const [oldest] = this.#names.keys();
      if (this.#names.size > MAX_ADDRESSES && oldest !== undefined) this.#names.delete(oldest);
    }
  }

  of(address: string): readonly string[] {
    return this.#names.get(address) ?? [];
  }
}
