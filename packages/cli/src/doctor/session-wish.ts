/** What somebody wants of the session that is asked about; the rest of the configuration does not matter here. */
export interface SessionWish {
  readonly isStealing: boolean;
  /** The program is to answer the pod's probes. */
  readonly takesProbes: boolean;
  /** The agent may be a container of the target's pod. */
  readonly isEphemeral: boolean;
  /** A port of the whole node may be taken. */
  readonly allowsHostNetwork: boolean;
  /** protected_contexts of the user's own configuration, with the wildcards `*` and `?`. */
  readonly protectedContexts: readonly string[];
}
