/** What the flags of several commands have in common. */
import { InvalidArgumentError, Option } from "commander";
import { type Overrides, readOverride } from "./config/overrides.ts";

/** Reads a flag's text as the configuration's value of that name. */
export const as =
  <Key extends keyof Overrides>(key: Key) =>
  (text: string) => {
    const value = readOverride(key, text);
    if (value.kind === "wrong") throw new InvalidArgumentError(value.allowed);
    return value.value;
  };

/** Accepted, and not in --help. */
export const hidden = (flags: string): Option => new Option(flags).hideHelp();
