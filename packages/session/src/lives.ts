/** Which life of its container the target is in, and in which pod, as far as the agent has been told. */
import type { TargetDescription } from "@inpod/protocol";
import type { Tunnel } from "@inpod/tunnel";

/** Each with the names of the variables that are not what they were at the start. */
export interface LivesObserver {
  /** Its container was started again. */
  onNext(changed: readonly string[]): void;
  /** It is in another pod. */
  onOther(hostname: string, changed: readonly string[]): void;
}

export class Lives {
  readonly #observer: LivesObserver;
  /** The container of now. Undefined: nobody has said that it is another one than when its agent was placed. */
  wanted: string | undefined;
  #known: string | undefined;
  #hasMoved = false;
  #environment: TargetDescription["environment"] = [];

  constructor(observer: LivesObserver) {
    this.#observer = observer;
  }

  begin(target: TargetDescription): void {
    this.#environment = target.environment;
  }

  /** The next agent is in another pod, where the containers of this one mean nothing. */
  move(): void {
    this.wanted = undefined;
    this.#known = undefined;
    this.#hasMoved = true;
  }

  /** Also when it knows already: another agent, or the same one through another session. */
  async follow(tunnel: Tunnel): Promise<void> {
    const { wanted } = this;
    if (wanted !== undefined) await tunnel.call("target.container", { id: wanted });
    if (this.#hasMoved) {
      const { hostname, environment } = await tunnel.call("describe", {});
      this.#hasMoved = false;
      this.#known = wanted;
      this.#observer.onOther(hostname, changedNames(this.#environment, environment));
      return;
    }
    if (wanted === undefined || this.#known === wanted) return;
    this.#known = wanted;
    const { environment } = await tunnel.call("describe", {});
    this.#observer.onNext(changedNames(this.#environment, environment));
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
