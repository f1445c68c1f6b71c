/** A table of a file; not a list, not a TOML date. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** `feature.fs` and `mode` → `feature.fs.mode` */
export const below = (path: string, key: string): string => (path === "" ? key : `${path}.${key}`);

/** Objects key by key; of anything else the second. */
export const merged = (first: unknown, second: unknown): unknown =>
  isObject(first) && isObject(second)
    ? Object.fromEntries(
        [...new Set([...Object.keys(first), ...Object.keys(second)])].map((key) => [
          key,
          !Object.hasOwn(second, key)
            ? first[key]
            : Object.hasOwn(first, key)
              ? merged(first[key], second[key])
              : second[key],
        ]),
      )
    : second;
