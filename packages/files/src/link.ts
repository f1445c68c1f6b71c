/** What this package needs of whoever has the tunnel. A stream of the tunnel has the shape of a FilesChannel. */

/** The file service's two streams: small requests must not wait behind contents. */
export type FilesStream = "control" | "bulk";

export interface FilesLink {
  /**
   * After a loss it waits until the tunnel is back. It rejects when there will be none: the end of the session.
   * Both streams belong to the same life of the target's container: an older one's are reset with ESTALE.
   */
  open(which: FilesStream): Promise<FilesChannel>;
}

export interface FilesChannel {
  /** False: more should wait for onDrain. */
  write(bytes: Uint8Array): boolean;
  onDrain: (() => void) | undefined;
  onData: ((bytes: Uint8Array) => void) | undefined;
  /** So many of the bytes that onData was given need no room any more. */
  consumed(bytes: number): void;
  /** ESTALE: the target's container is another one now. Nothing is said after it. */
  onReset: ((errno: string, detail: string) => void) | undefined;
  reset(errno: string): void;
}
