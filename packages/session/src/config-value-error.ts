/**
 * A value in the user's configuration that cannot be used.
 *
 * `key` is the place as the user would write it, list entries with their index:
 * `feature.fs.local[2]`. The message never shows a variable's value.
 */
export class ConfigValueError extends Error {
  readonly key: string;

  constructor(key: string, problem: string) {
    super(`${key}: ${problem}`);
    this.name = "ConfigValueError";
    this.key = key;
  }
}
