/** Without the keys that are undefined, as exact optional properties want it. */
export const defined = <Value extends object>(
  value: Value,
): { [Key in keyof Value]?: NonNullable<Value[Key]> } =>
  Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as {
    [Key in keyof Value]?: NonNullable<Value[Key]>;
  };
