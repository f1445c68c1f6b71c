/**
 * A failure that the user can act on. Anything else that reaches the command line is a bug of
 * ours and shows its stack. One function per error makes it, beside the code that throws it.
 */
export class UserError extends Error {
  override readonly name = "UserError";
  /** UPPER_SNAKE, stable: scripts, the editor's extension and the docs refer to it. */
  readonly code: string;
  /** What to do next, most likely first: one imperative line each, or a line and what to paste below it. */
  readonly hints: readonly string[];

  /**
   * @param what what happened, in our words and the user's values; lower case, no full stop
   * @param cause why, as the system gave it
   */
  constructor(
    code: string,
    what: string,
    { hints = [], cause }: { hints?: readonly string[]; cause?: unknown } = {},
  ) {
    super(what, cause === undefined ? undefined : { cause });
    this.code = code;
    this.hints = hints;
  }
}
