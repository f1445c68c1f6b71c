/**
 * A filter that cannot be used, as its author wrote it.
 *
 * `path` is the place inside the filter: `all_of[1].path`; "" is the filter itself.
 */
export class FilterError extends Error {
  override readonly name = "FilterError";
  readonly path: string;
  readonly problem: string;

  constructor(path: string, problem: string) {
    super(path === "" ? problem : `${path}: ${problem}`);
    this.path = path;
    this.problem = problem;
  }
}
