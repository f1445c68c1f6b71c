/** What happens to a session, for the command line and whoever else watches. */
import type { MirrorMissed, PodPort, UdpDropped } from "./messages.ts";
import type { TlsUntouched } from "./tls.ts";

export type SessionEvent =
  | { readonly kind: "connected"; readonly rttMs: number | undefined }
  | { readonly kind: "tunnel-lost"; readonly why: string }
  | { readonly kind: "reconnecting"; readonly attempt: number; readonly why: string }
  | { readonly kind: "resumed"; readonly ports: readonly number[] }
  /** The port's new connections come here from now on. */
  | ({ readonly kind: "stolen" } & PodPort)
  | ({ readonly kind: "steal-lost"; readonly detail: string } & PodPort)
  /** The agent before this one may have it still: it is asked for again for `seconds`; `steal-back` or `steal-lost` follows. */
  | ({ readonly kind: "steal-waits"; readonly detail: string; readonly seconds: number } & PodPort)
  | ({ readonly kind: "steal-back" } & PodPort)
  /** Connections from before stay with the pod. */
  | { readonly kind: "connections-kept"; readonly port: number; readonly detail: string }
  /** The pod's probes come here, too: this agent is too old to leave them to the pod. */
  | { readonly kind: "probes-taken" }
  /** Copies of the port's new connections come here from now on. */
  | ({ readonly kind: "mirrored" } & PodPort)
  | ({ readonly kind: "mirror-lost"; readonly detail: string } & PodPort)
  /** Of which nothing comes here: the count since the session began. */
  | ({ readonly kind: "mirror-missed" } & MirrorMissed)
  /** No filter has seen what came. Once per port and reason. */
  | ({ readonly kind: "tls-untouched" } & TlsUntouched)
  /** Datagrams of a UDP port that were lost on their way here: the count since the session began. */
  | ({ readonly kind: "udp-dropped" } & UdpDropped)
  /** Its main process has ended; `target-back` follows if its container is started again. */
  | { readonly kind: "target-gone"; readonly detail: string }
  /** `changed`: names of the variables that are not what they were. */
  | { readonly kind: "target-back"; readonly changed: readonly string[] }
  /** Another pod is the target from now on: its host name, and what of its variables is not as it was at the start. */
  | {
      readonly kind: "target-moved";
      readonly hostname: string;
      readonly changed: readonly string[];
    }
  /** Its owner asks it to end, from another machine: `detail`. */
  | { readonly kind: "leave-asked"; readonly detail: string }
  /** There will be another agent, or the session is lost. */
  | { readonly kind: "agent-gone"; readonly why: string };
