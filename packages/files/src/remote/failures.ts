/** What the agent, or the way to it, answered instead. */
export class FileError extends Error {
  readonly errno: number;
  constructor(errno: number, what: string) {
    super(`${what}: errno ${errno}`);
    this.errno = errno;
  }
}

/** The streams were lost after the request was sent: whether it was done is not known. */
export class ConnectionLost extends FileError {}
