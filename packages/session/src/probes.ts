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

  /** Its answer is not waited for: the agent does what it is asked in order. An older one would not understand. */
  tell(tunnel: Tunnel): void {
    if (this.#told.has(tunnel) || !tunnel.peer.features.includes("probes")) return;
    this.#told.add(tunnel);
    const probes = this.#read?.();
    // A lost tunnel: the next one is told.
    if (probes !== undefined) tunnel.call("incoming.probes", probes).catch(() => {});
  }
}
