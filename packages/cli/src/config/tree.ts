/** A table of a file; not a list, not a TOML date. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** `feature.fs` and `mode` → `feature.fs.mode` */
export const below = (path: string, key: string): string => (path === "" ? key : `${path}.${key}`);
