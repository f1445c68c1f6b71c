import type { TunnelError } from "./api.ts";

/** A failure with the errno it has for the user's process. */
export class TunnelFailure extends Error implements TunnelError {
  override readonly name = "TunnelFailure";
  readonly errno: string;
  constructor(errno: string, detail: string) {
    super(detail || errno);
    this.errno = errno;
  }
}
