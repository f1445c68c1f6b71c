/** Which life of its container the target is in, as far as the agent has been told. */
import type { TargetDescription } from "@inpod/protocol";
import type { Tunnel } from "@inpod/tunnel";

export class Lives {
  readonly #onNext: (changed: readonly string[]) => void;
  /** The container of now. Undefined: nobody has said that it is another one than at the start. */
  wanted: string | undefined;
  #known: string | undefined;
  #environment: TargetDescription["environment"] = [];

  /** @param onNext with the names of the variables that are not what they were at the start */
  constructor(onNext: (changed: readonly string[]) => void) {
    this.#onNext = onNext;
  }

  begin(target: TargetDescription): void {
    this.#environment = target.environment;
  }

  /** Also when it knows already: another agent, or the same one through another session. */
  async follow(tunnel: Tunnel): Promise<void> {
    const { wanted } = this;
    if (wanted === undefined) return;
    await tunnel.call("target.container", { id: wanted });
    if (this.#known === wanted) return;
    this.#known = wanted;
    const { environment } = await tunnel.call("describe", {});
    this.#onNext(changedNames(this.#environment, environment));
  }
}

/** In order, without the values, which are secret. Nothing was known of a container that did not run. */
function changedNames(
  before: TargetDescription["environment"],
  now: TargetDescription["environment"],
): readonly string[] {
  if (before.length === 0) return [];
  const [old, current] = [new Map(before), new Map(now)];
  const names = new Set([...old.keys(), ...current.keys()]);
  return [...names].filter((name) => old.get(name) !== current.get(name)).sort();
}
