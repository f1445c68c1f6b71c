/** Why no image can be made here, and what to do about it: for whoever typed the command. */
export class Refusal extends Error {
  readonly hint: string;

  constructor(what: string, hint: string, cause?: unknown) {
    super(what, { cause });
    this.hint = hint;
  }
}
