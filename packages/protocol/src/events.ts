/** What happens to a session, for the command line and whoever else watches. */
export type SessionEvent =
  | { readonly kind: "connected"; readonly rttMs: number | undefined }
  | { readonly kind: "tunnel-lost"; readonly why: string }
  | { readonly kind: "reconnecting"; readonly attempt: number; readonly why: string }
  | { readonly kind: "resumed"; readonly ports: readonly number[] }
  /** The port's new connections come here from now on. */
  | { readonly kind: "stolen"; readonly port: number }
  | { readonly kind: "steal-lost"; readonly port: number; readonly detail: string }
  | { readonly kind: "target-gone"; readonly detail: string };
