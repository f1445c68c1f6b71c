/** Each agent is told once, before it is asked for a port, what of the pod's ports stays the pod's. */
import type { PodProbes } from "@inpod/protocol";
import type { Tunnel } from "@inpod/tunnel";

/** As the target is now; undefined: the program gets its probes as well, or nobody knows of any. */
export type ReadProbes = () => PodProbes | undefined;

export class ProbesTold {
  readonly #read: ReadProbes | undefined;
  readonly #told = new WeakSet<Tunnel>();

  constructor(read: ReadProbes | undefined) {
    this.#read = read;
  }

  /**
   * Its answer is not waited for: the agent does what it is asked in order.
   * @returns false, once for each tunnel: this agent is too old to keep the probes that there are from the program
   */
  tell(tunnel: Tunnel): boolean {
    if (this.#told.has(tunnel)) return true;
    this.#told.add(tunnel);
    const probes = this.#read?.();
    if (probes === undefined) return true;
    if (!tunnel.peer.features.includes("probes")) return probes.probes.length === 0;
    // A lost tunnel: the next one is told.
    tunnel.call("incoming.probes", probes).catch(() => {});
    return true;
  }
}
