/** The errno that the agent or the target gave; EIO for a failure that has none. */
export const errnoOf = (error: unknown): string =>
  error instanceof Error && "errno" in error && typeof error.errno === "string"
    ? error.errno
    : "EIO";
